// NUTS: traces of all chains first, then where each chain is, histograms, and the choice of variables.

import { choice, count, duration, element, number, picker, say, tiles } from "../dom.js";
import { chained, newest, overview, Series } from "../series.js";
import { figure, look, Plot, sample } from "../plot.js";

const ENOUGH = 50; // draws from which on the axes follow the draws alone
const GOOD_RHAT = 1.01;
const BINS = 40;
const SILENT = 5; // seconds
const COLUMNS = [
  ["chain", "chain"], ["phase", "phase"], ["progress", "progress"], ["step", "step size"], ["depth", "tree depth"],
  ["acceptance", "acceptance"], ["divergences", "divergences"], ["note", ""],
];

export default function mount(root, page) {
  let state = null;
  let series = new Map(); // phase, name and chain -> Series
  let figures = new Map(); // name -> its trace and histogram
  let isolated = null;
  let span = "all";
  let pace = []; // [seconds, iterations] of the last ten seconds

  const facts = element("dl", { class: "facts", "data-testid": "facts" });
  const failures = element("ul", { class: "problem", "data-testid": "failures", hidden: true });
  const chips = element("div", { class: "chips", role: "group", "aria-label": "chains" });
  const spans = choice("span", [["all", "all"], ["draws", "without warm-up"], ["newest", "newest 500"]], span, (value) => {
    span = value;
    for (const each of figures.values()) each.trace.reset();
  });
  const traces = element("div", { class: "grid", "data-testid": "traces" });
  const body = element("tbody");
  const table = element("table", { "data-testid": "chains" },
    element("thead", {}, element("tr", {}, ...COLUMNS.map(([, title]) => element("th", { scope: "col", textContent: title })))), body);
  const histograms = element("div", { class: "grid small", "data-testid": "histograms" });
  const note = element("span", { class: "facts-line", "data-testid": "histogram-note" });
  const variables = picker((names) => page.show(names));
  root.append(
    facts, failures,
    element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "Traces" }), chips, spans, variables.root), variables.panel, traces),
    element("section", {}, element("h2", { textContent: "Chains" }), element("div", { class: "table" }, table)),
    element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "Histograms" }), note), histograms),
  );
  const rows = new Map();

  const key = (phase, name, chain) => `${phase}\n${name}\n${chain}`;
  const chains = () => state.chains.map((each) => each.chain);
  const lines = (phase, name) => chains().map((chain) => series.get(key(phase, name, chain)));
  const longest = (phase, name) => Math.max(0, ...lines(phase, name).map((each) => each?.count ?? 0));
  /** Where the draws begin: the warm-up may end before its time. */
  const warmup = () => (longest("draws", state.shown[0]) ? longest("warmup", state.shown[0]) : (state.settings?.num_warmup ?? 0));

  function update(data) {
    const { full, warmup: burnt, draws, ...rest } = data;
    const before = state;
    state = full ? rest : { ...state, ...rest };
    if (full) series = new Map();
    const touched = new Set(full || before?.status !== state.status ? state.shown : []);
    for (const [phase, list] of [["warmup", burnt ?? []], ["draws", draws ?? []]]) {
      for (const each of list) {
        const where = key(phase, each.name, each.chain);
        if ("values" in each) {
          if (!series.has(where)) series.set(where, new Series());
          series.get(where).add(each.values, each.from);
        } else {
          series.set(where, new Series(each));
        }
        touched.add(each.name);
      }
    }
    if (full) {
      pace = [];
      const same = before && String([before.shown, before.chains.map((each) => each.chain)]) === String([state.shown, chains()]);
      if (!same) build();
      variables.set(state.names, state.shown);
    }
    for (const name of touched) {
      figures.get(name)?.trace.changed();
      figures.get(name)?.histogram.changed();
    }
    words();
  }

  function build() {
    for (const each of figures.values()) {
      each.trace.destroy();
      each.histogram.destroy();
    }
    traces.replaceChildren();
    histograms.replaceChildren();
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
    const shown = figure(name, "trace");
    const read = element("span", { class: "read", "aria-hidden": "true" });
    shown.root.dataset.name = name;
    shown.root.querySelector("figcaption").append(read);
    traces.append(shown.root);
    const style = chains().map((chain, k) => ({ label: `chain ${chain}`, ...look(k), width: 1 }));
    const trace = new Plot(shown.room, {
      title: `traces of ${name}`,
      height: 170,
      lines: style,
      sync: "nuts",
      columns: () => columns(name),
      x: () => ends(name),
      y: () => heights(name),
      behind: shade,
      before: divergences,
      read(index, u) {
        const x = index === null || index === undefined ? null : u.data[0][index];
        const values = style.flatMap((line, k) => (x === null || u.data[k + 1][index] === null || u.data[k + 1][index] === undefined ? [] : [`${chains()[k]}: ${number(u.data[k + 1][index], 3)}`]));
        say(read, values.length ? `${Math.floor(x)} · ${values.join("  ")}` : "");
      },
    });
    const pile = figure(name, "histogram");
    pile.root.dataset.name = name;
    histograms.append(pile.root);
    const histogram = new Plot(pile.room, {
      title: `histograms of ${name}`,
      height: 120,
      yAxis: false,
      lines: style.map((line) => ({ ...line, stepped: true, width: 1.4 })),
      columns: () => bins(name),
      y: (u) => [0, top(u)],
      label: (x) => number(x, 4),
    });
    return { shown, trace, histogram };
  }

  function columns(name) {
    if (span === "newest") return newest(longest("draws", name) ? lines("draws", name) : lines("warmup", name), longest("draws", name) ? warmup() : 0);
    const draws = overview(lines("draws", name), warmup());
    return span === "draws" ? draws : chained(overview(lines("warmup", name)), draws);
  }

  /** The x axis: it grows by doubling up to the run's length, so that it rarely moves. */
  function ends(name) {
    const drawn = longest("draws", name);
    const burnt = longest("warmup", name);
    if (span === "newest") {
      const end = drawn ? warmup() + drawn : burnt;
      return [Math.max(drawn ? warmup() : 0, end - 500), Math.max(end, 10)];
    }
    const start = span === "draws" ? warmup() : 0;
    const total = warmup() + (state.settings?.num_samples ?? drawn);
    const now = drawn ? warmup() + drawn : burnt;
    let end = start + 100;
    while (end < now) end = start + 2 * (end - start);
    if (state.status !== "running") return [start, Math.max(now, start + 1)];
    return [start, Math.max(start + 1, Math.min(end, Math.max(total, now)))];
  }

  /** The y axis: once there are draws, the warm-up's way to them no longer counts. */
  function heights(name) {
    if (span !== "all" || longest("draws", name) < ENOUGH) return null;
    let [low, high] = [Infinity, -Infinity];
    lines("draws", name).forEach((line, k) => {
      if (!line || (isolated !== null && isolated !== k)) return;
      for (const value of line.low) if (value !== null && value < low) low = value;
      for (const value of line.high) if (value !== null && value > high) high = value;
    });
    const room = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
    return low <= high ? [low - room, high + room] : null;
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
    if (right - left > 60 * devicePixelRatio) context.fillText("warm-up", Math.max(left, u.bbox.left) + 5 * devicePixelRatio, u.bbox.top + 3 * devicePixelRatio);
  }

  function divergences(u, context, colours) {
    context.fillStyle = colours.alarm;
    const size = 3.5 * devicePixelRatio;
    context.globalAlpha = 0.8;
    const bottom = u.bbox.top + u.bbox.height;
    chains().forEach((chain, k) => {
      if (isolated !== null && isolated !== k) return;
      for (const draw of state.divergent?.[chain] ?? []) {
        const x = u.valToPos(warmup() + draw, "x", true);
        context.beginPath();
        context.moveTo(x, bottom - 2 * size);
        context.lineTo(x - size, bottom);
        context.lineTo(x + size, bottom);
        context.fill();
      }
    });
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

  const top = (u) => Math.max(1e-9, ...(u.data ?? []).slice(1).flatMap((column, k) => (isolated === null || isolated === k ? column : []))) * 1.08;

  function words() {
    const now = performance.now() / 1000;
    const made = state.chains.reduce((sum, each) => sum + each.iteration, 0);
    const total = state.chains.reduce((sum, each) => sum + each.total, 0);
    pace = [...pace.filter(([time]) => time > now - 10), [now, made]];
    const rate = now - pace[0][0] > 0.5 ? (made - pace[0][1]) / (now - pace[0][0]) : 0;
    const running = state.status === "running";
    const summary = new Map(state.summary.map((each) => [each.name, each]));
    const rhats = state.summary.map((each) => each.rhat).filter((each) => each !== null);
    const sizes = state.summary.map((each) => each.ess).filter((each) => each !== null);
    const divergent = state.chains.reduce((sum, each) => sum + (each.divergences ?? 0), 0);
    tiles(facts, [
      ["draws", count(state.chains.reduce((sum, each) => sum + each.draws, 0))],
      ["iterations/s", running && rate ? number(rate, 2 + (rate >= 100)) : "–"],
      [running ? "time left" : "status", running ? (rate ? `≈ ${duration((total - made) / rate)}` : "–") : state.status],
      ["divergences", count(divergent), divergent > 0],
      ["largest R-hat", rhats.length ? Math.max(...rhats).toFixed(3) : "–", Math.max(0, ...rhats) > GOOD_RHAT],
      ["smallest ESS", sizes.length ? count(Math.min(...sizes)) : "–"],
    ]);
    failures.hidden = !state.failures?.length;
    failures.replaceChildren(...(state.failures ?? []).map((each) => element("li", { textContent: `${each.chain === null ? "" : `chain ${each.chain}, iteration ${each.iteration}: `}${each.error}${each.recovered ? " (it went on)" : ""}` })));
    for (const [name, { shown }] of figures) {
      const known = summary.get(name);
      shown.root.dataset.count = String(lines("draws", name).reduce((sum, each) => sum + (each?.count ?? 0), 0));
      const bad = known?.rhat > GOOD_RHAT;
      say(shown.facts, known && known.mean !== null
        ? `R-hat ${known.rhat === null ? "–" : known.rhat.toFixed(3)}${bad ? " ▲ not mixed" : ""} · ESS ${known.ess === null ? "–" : count(known.ess)} · mean ${number(known.mean)} · sd ${number(known.sd, 3)}`
        : "no draws yet");
      shown.facts.classList.toggle("bad", bad);
    }
    const complete = [...series].every(([name, each]) => !name.startsWith("draws\n") || each.complete);
    say(note, complete ? "all draws, a line a chain" : "the newest 500 draws of each chain");
    chainsTable(running);
  }

  function chainsTable(running) {
    const sorted = state.chains.map((each) => each.iteration).sort((a, b) => a - b);
    const middle = sorted[Math.floor(sorted.length / 2)] ?? 0;
    state.chains.forEach((each, k) => {
      let row = rows.get(each.chain);
      if (!row) {
        const cells = Object.fromEntries(COLUMNS.map(([name, title]) => [name, element("td", { "data-label": title, class: `cell-${name}` })]));
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
      say(row.cells.phase, each.phase === "warmup" ? "warm-up" : each.phase);
      say(row.cells.step, number(each.step_size, 3));
      say(row.cells.depth, number(each.tree_depth));
      say(row.cells.acceptance, each.acceptance_rate === null ? "–" : each.acceptance_rate.toFixed(2));
      say(row.cells.divergences, count(each.divergences ?? 0));
      row.cells.divergences.classList.toggle("bad", each.divergences > 0);
      const unfinished = running && each.phase !== "done";
      const silent = unfinished && each.lag > SILENT;
      const behind = unfinished && middle - each.iteration > Math.max(50, 0.15 * middle);
      say(row.cells.note, silent ? `silent for ${duration(each.lag)}` : behind ? `lags by ${count(middle - each.iteration)}` : "");
    });
  }

  return {
    update,
    destroy() {
      for (const each of figures.values()) {
        each.trace.destroy();
        each.histogram.destroy();
      }
    },
  };
}
