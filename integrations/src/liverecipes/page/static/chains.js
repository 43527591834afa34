// Chains: traces of their numbers with the warm-up shaded, histograms, and a table of where each chain is.

import { choice, count, duration, element, number, picker, say } from "./dom.js";
import { figure, look, Plot, sample } from "./plot.js";
import { chained, newest, overview, take } from "./series.js";

const ENOUGH = 50; // draws from which on the axes follow the draws alone
const GOOD_RHAT = 1.01;
const BINS = 40;
const SILENT = 5; // seconds

/**
 * The sections of a view of chains: `board.traces`, `board.table`, `board.histograms`, to be placed by the view.
 *
 * `burnt` names the warm-up; `lengths(state)` tells how long warm-up and draws were asked to be; `early`: the warm-up may
 * end before, and all of it is told, else only now and then; `columns` are those of the table that are the view's own, [[name, title], ...], which
 * `fill(cells, chain)` fills; `before(u, context, colours, {shown, warmup})` draws on the traces.
 */
export function chains(page, { burnt, lengths, early, columns, fill, before, noun = "variables" }) {
  let state = null;
  let series = new Map(); // phase, name and chain -> Series
  let figures = new Map(); // name -> its trace and histogram
  let isolated = null;
  let span = "all";
  let pace = []; // [seconds, iterations] of the last ten seconds
  const rows = new Map();
  const titles = [["chain", "chain"], ["phase", "phase"], ["progress", "progress"], ...columns, ["note", ""]];

  const chips = element("div", { class: "chips", role: "group", "aria-label": "chains" });
  const spans = choice("span", [["all", "all"], ["draws", `without ${burnt}`], ["newest", "newest 500"]], span, (value) => {
    span = value;
    for (const each of figures.values()) each.trace.reset();
  });
  const variables = picker((names) => page.show(names), noun);
  const room = element("div", { class: "grid", "data-testid": "traces" });
  const body = element("tbody");
  const table = element("table", { "data-testid": "chains" },
    element("thead", {}, element("tr", {}, ...titles.map(([, title]) => element("th", { scope: "col", textContent: title })))), body);
  const piles = element("div", { class: "grid small", "data-testid": "histograms" });
  const note = element("span", { class: "facts-line", "data-testid": "histogram-note" });

  const key = (phase, name, chain) => `${phase}\n${name}\n${chain}`;
  const ids = () => state.chains.map((each) => each.chain);
  const lines = (phase, name) => ids().map((chain) => series.get(key(phase, name, chain)));
  const longest = (phase, name) => Math.max(0, ...lines(phase, name).map((each) => each?.count ?? 0));
  const running = () => state.status === "running";
  /** Where the draws begin. */
  const warmup = () => (early && longest("draws", state.shown[0]) ? longest("warmup", state.shown[0]) : lengths(state)[0]);
  const shown = (k) => isolated === null || isolated === k;

  function update(data) {
    const { full, warmup: burn, draws, ...rest } = data;
    const was = state;
    state = full ? rest : { ...state, ...rest };
    if (full) series = new Map();
    const touched = new Set(full || was?.status !== state.status ? state.shown : []);
    for (const [phase, came] of [["warmup", burn ?? []], ["draws", draws ?? []]]) {
      for (const name of take(series, came, (each) => key(phase, each.name, each.chain))) touched.add(name);
    }
    if (full) {
      pace = [];
      const same = was && String([was.shown, was.chains.map((each) => each.chain)]) === String([state.shown, ids()]);
      if (!same) build();
      variables.set(state.names, state.shown);
    }
    for (const name of touched) {
      figures.get(name)?.trace.changed();
      figures.get(name)?.histogram.changed();
    }
    const now = performance.now() / 1000;
    pace = [...pace.filter(([time]) => time > now - 10), [now, made()]];
    words();
  }

  function build() {
    destroy();
    room.replaceChildren();
    piles.replaceChildren();
    body.replaceChildren();
    rows.clear();
    isolated = null;
    figures = new Map(state.shown.map((name) => [name, draw(name)]));
    chips.replaceChildren(...state.chains.map((each, k) => {
      const chip = element("button", { type: "button", "aria-pressed": "false", title: "show this chain alone", "data-testid": `chip-${each.chain}` }, sample(k), String(each.chain));
      chip.addEventListener("click", () => {
        isolated = isolated === k ? null : k;
        [...chips.children].forEach((other, place) => other.setAttribute("aria-pressed", String(place === isolated)));
        for (const { trace, histogram } of figures.values()) {
          trace.only(isolated === null ? null : new Set([isolated]));
          histogram.only(isolated === null ? null : new Set([isolated]));
        }
      });
      return chip;
    }));
    if (!chips.children.length) chips.replaceChildren(element("span", { class: "facts-line", textContent: "no chain yet" }));
  }

  function draw(name) {
    const told = figure(name, "trace");
    const read = element("span", { class: "read", "aria-hidden": "true" });
    told.root.dataset.name = name;
    told.root.querySelector("figcaption").append(read);
    room.append(told.root);
    const style = ids().map((chain, k) => ({ label: `chain ${chain}`, ...look(k), width: 1, joined: !early }));
    const trace = new Plot(told.room, {
      title: `traces of ${name}`,
      height: 170,
      lines: style,
      sync: "chains",
      columns: () => steps(name),
      x: () => ends(name),
      y: () => heights(name),
      behind: shade,
      before: (u, context, colours) => before?.(u, context, colours, { shown, warmup: warmup() }),
      read(index, u) {
        const x = index === null || index === undefined ? null : u.data[0][index];
        const values = style.flatMap((line, k) => (x === null || u.data[k + 1][index] === null || u.data[k + 1][index] === undefined ? [] : [`${ids()[k]}: ${number(u.data[k + 1][index], 3)}`]));
        say(read, values.length ? `${Math.floor(x)} · ${values.join("  ")}` : "");
      },
    });
    const pile = figure(name, "histogram");
    pile.root.dataset.name = name;
    piles.append(pile.root);
    const histogram = new Plot(pile.room, {
      title: `histograms of ${name}`,
      height: 120,
      yAxis: false,
      lines: style.map((line) => ({ ...line, stepped: true, width: 1.4 })),
      columns: () => bins(name),
      y: (u) => [0, top(u)],
      label: (x) => number(x, 4),
    });
    return { told, trace, histogram };
  }

  function steps(name) {
    if (span === "newest") return newest(longest("draws", name) ? lines("draws", name) : lines("warmup", name), longest("draws", name) ? warmup() : 0);
    const draws = overview(lines("draws", name), warmup());
    return span === "draws" ? draws : chained(overview(lines("warmup", name)), draws);
  }

  /** The x axis: it grows by doubling up to the run's length, so that it rarely moves. */
  function ends(name) {
    const drawn = longest("draws", name);
    const burn = longest("warmup", name);
    if (span === "newest") {
      const end = drawn ? warmup() + drawn : burn;
      return [Math.max(drawn ? warmup() : 0, end - 500), Math.max(end, 10)];
    }
    const start = span === "draws" ? warmup() : 0;
    const total = warmup() + (lengths(state)[1] || drawn);
    const now = drawn ? warmup() + drawn : burn;
    let end = start + 100;
    while (end < now) end = start + 2 * (end - start);
    if (!running()) return [start, Math.max(now, start + 1)];
    return [start, Math.max(start + 1, Math.min(end, Math.max(total, now)))];
  }

  /** The y axis: once there are draws, the warm-up's way to them no longer counts. */
  function heights(name) {
    if (span !== "all" || longest("draws", name) < ENOUGH) return null;
    let [low, high] = [Infinity, -Infinity];
    lines("draws", name).forEach((line, k) => {
      if (!line || !shown(k)) return;
      for (const value of line.low) if (value !== null && value < low) low = value;
      for (const value of line.high) if (value !== null && value > high) high = value;
    });
    const margin = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
    return low <= high ? [low - margin, high + margin] : null;
  }

  function shade(u, context, colours) {
    if (!warmup() || span === "draws") return;
    const left = u.valToPos(0, "x", true);
    const right = u.valToPos(warmup(), "x", true);
    if (right <= u.bbox.left) return;
    context.fillStyle = colours.shade;
    context.fillRect(left, u.bbox.top, right - left, u.bbox.height);
    context.strokeStyle = colours.soft;
    context.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    context.beginPath();
    context.moveTo(right, u.bbox.top);
    context.lineTo(right, u.bbox.top + u.bbox.height);
    context.stroke();
    context.fillStyle = colours.soft;
    context.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.textBaseline = "top";
    if (right - left > 60 * devicePixelRatio) context.fillText(burnt, Math.max(left, u.bbox.left) + 5 * devicePixelRatio, u.bbox.top + 3 * devicePixelRatio);
  }

  function bins(name) {
    const found = lines("draws", name).map((line) => (line ? line.values() : []));
    let [low, high] = [Infinity, -Infinity];
    for (const values of found) for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
    if (low > high) return [[0, 1], ...found.map(() => [null, null])];
    const width = (high - low) / BINS || 1;
    const x = Array.from({ length: BINS + 1 }, (_, k) => low + k * width);
    return [x, ...found.map((values) => {
      const counts = new Array(BINS + 1).fill(0);
      for (const value of values) counts[Math.min(BINS - 1, Math.floor((value - low) / width))] += 1;
      return values.length ? counts.map((each) => each / values.length) : counts.map(() => null);
    })];
  }

  const top = (u) => Math.max(1e-9, ...(u.data ?? []).slice(1).flatMap((column, k) => (shown(k) ? column : []))) * 1.08;

  const sum = (what) => state.chains.reduce((total, each) => total + (each[what] ?? 0), 0);
  const made = () => sum("iteration");

  /** The first facts of any run of chains, and whether each is a bad sign; the view's own stand behind the time. */
  function facts(...own) {
    const [then, before_] = pace[0];
    const [now, here] = pace.at(-1);
    const rate = now - then > 0.5 ? (here - before_) / (now - then) : 0;
    const rhats = state.summary.map((each) => each.rhat).filter((each) => each !== null);
    const sizes = state.summary.map((each) => each.ess).filter((each) => each !== null);
    return [
      ["draws", count(sum("draws"))],
      ["iterations/s", running() && rate ? number(rate, 2 + (rate >= 100)) : "–"],
      [running() ? "time left" : "status", running() ? (rate ? `≈ ${duration((sum("total") - here) / rate)}` : "–") : state.status, state.status === "failed"],
      ...own,
      ["largest R-hat", rhats.length ? Math.max(...rhats).toFixed(3) : "–", Math.max(0, ...rhats) > GOOD_RHAT],
      ["smallest ESS", sizes.length ? count(Math.min(...sizes)) : "–"],
    ];
  }

  function words() {
    const summary = new Map(state.summary.map((each) => [each.name, each]));
    for (const [name, { told }] of figures) {
      const known = summary.get(name);
      told.root.dataset.count = String(lines("draws", name).reduce((total, each) => total + (each?.count ?? 0), 0));
      const bad = known?.rhat > GOOD_RHAT;
      say(told.facts, known && known.mean !== null
        ? `R-hat ${known.rhat === null ? "–" : known.rhat.toFixed(3)}${bad ? " ▲ not mixed" : ""} · ESS ${known.ess === null ? "–" : count(known.ess)} · mean ${number(known.mean)} · sd ${number(known.sd, 3)}`
        : "no draws yet");
      told.facts.classList.toggle("bad", bad);
    }
    const complete = [...series].every(([name, each]) => !name.startsWith("draws\n") || each.complete);
    say(note, complete ? "all draws, a line a chain" : "the newest 500 draws of each chain");
    where();
  }

  function where() {
    const sorted = state.chains.map((each) => each.iteration).sort((a, b) => a - b);
    const middle = sorted[Math.floor(sorted.length / 2)] ?? 0;
    state.chains.forEach((each, k) => {
      let row = rows.get(each.chain);
      if (!row) {
        const cells = Object.fromEntries(titles.map(([name, title]) => [name, element("td", { "data-label": title, class: `cell-${name}` })]));
        cells.chain.append(sample(k), String(each.chain));
        const bar = element("progress", { max: 1, value: 0 });
        const text = element("span");
        bar.setAttribute("aria-label", `progress of chain ${each.chain}`);
        cells.progress.append(bar, text);
        row = { root: element("tr", { "data-testid": `chain-${each.chain}` }, ...Object.values(cells)), cells, bar, text };
        rows.set(each.chain, row);
        body.append(row.root);
      }
      row.bar.value = each.total ? Math.min(1, each.iteration / each.total) : 0;
      say(row.text, `${count(each.iteration)} of ${count(each.total)}`);
      say(row.cells.phase, each.phase === "warmup" ? burnt : each.phase);
      fill(row.cells, each);
      const unfinished = running() && each.phase !== "done";
      const silent = unfinished && each.lag > SILENT;
      const behind = unfinished && middle - each.iteration > Math.max(50, 0.15 * middle);
      say(row.cells.note, silent ? `silent for ${duration(each.lag)}` : behind ? `lags by ${count(middle - each.iteration)}` : "");
    });
  }

  function destroy() {
    for (const each of figures.values()) {
      each.trace.destroy();
      each.histogram.destroy();
    }
  }

  return {
    traces: element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "Traces" }), chips, spans, variables.root), variables.panel, room),
    table: element("section", {}, element("h2", { textContent: "Chains" }), element("div", { class: "table" }, table)),
    histograms: element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "Histograms" }), note), piles),
    update,
    facts,
    destroy,
    get state() {
      return state;
    },
  };
}

/** What went wrong, a line each. */
export function failures(root, list, told) {
  root.hidden = !list?.length;
  root.replaceChildren(...(list ?? []).map((each) => element("li", { textContent: told(each) })));
}
