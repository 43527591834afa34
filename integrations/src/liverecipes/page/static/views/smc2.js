// Online SMC²: the fan of the states with the observations first, then the parameters, then how the sampler is.

import { failures } from "../chains.js";
import { choice, count, duration, element, number, picker, say, tiles } from "../dom.js";
import { figure, grown, Plot, theme } from "../plot.js";
import { newest, overview, take } from "../series.js";

const TALL = 260;
const LOW = 150;
const LOWER = 120;
const APART = 5; // pixels between two observations
const ENOUGH = 20; // observations from which on a parameter's axis leaves out the first quarter

export default function mount(root, page) {
  let state = null;
  let series = new Map(); // kind, name and level -> Series
  let events = []; // rejuvenations
  let plots = [];
  let fans = new Map(); // label -> its figure
  let span = "all";
  let pace = []; // [seconds, observations] of the last ten seconds

  const facts = element("dl", { class: "facts", "data-testid": "facts" });
  const failed = element("ul", { class: "problem", "data-testid": "failures", hidden: true });
  const labels = picker((names) => page.show(names), "states and parameters");
  const spans = choice("span", [["all", "all"], ["newest", "newest 500"]], span, (value) => {
    span = value;
    for (const plot of plots) plot.reset();
  });
  const first = element("div", { "data-testid": "first" });
  const states = element("div", { class: "grid", "data-testid": "states" });
  const parameters = element("div", { class: "grid", "data-testid": "parameters" });
  const sampler = element("div", { class: "grid halves", "data-testid": "sampler" });
  const legend = element("p", { class: "detail", "data-testid": "legend" });
  const none = element("p", { class: "detail", textContent: "No observation was taken in so far." });
  const about = element("section", {}, element("h2", { textContent: "Parameters" }), parameters);
  root.append(facts, failed,
    element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "States" }), spans, labels.root), labels.panel, legend, none, first, states),
    about,
    element("section", {}, element("h2", { textContent: "The sampler" }), sampler));

  const running = () => state.status === "running";
  const line = (kind, name, level = "") => series.get(`${kind}\n${name}\n${level}`);
  const middle = () => Math.floor(state.levels.length / 2);
  const between = (low, high) => `${number(100 * (high - low), 3)} %`;
  const ends = (ahead = 0) => (span === "newest"
    ? [Math.max(0, state.count - 500) - 0.5, Math.max(state.count + ahead - 0.5, 9.5)]
    : [-0.5, Math.max(grown(state.count, state.total, running()), state.count + ahead) - 0.5]);
  const columns = (lines, edges) => (span === "newest" ? newest(lines) : overview(lines, 0, edges));

  /** The lines of a fan: of each pair of levels the upper and the lower, then the median; the first is line `from`. */
  function fan(from = 1, colour = "data", fill = "band") {
    const last = state.levels.length - 1;
    const pairs = Array.from({ length: Math.ceil(last / 2) }, (_, k) => [last - k, k]);
    const levels = [...pairs.flat(), ...(last % 2 ? [] : [middle()])];
    return {
      levels,
      lines: [
        ...pairs.flat().map((level) => ({ label: `${number(100 * state.levels[level], 3)} %`, colour, width: 0.4, points: 0 })),
        ...(last % 2 ? [] : [{ label: "median", colour, width: 1.8 }]),
      ],
      bands: pairs.map((_, k) => ({ series: [from + 2 * k, from + 2 * k + 1], fill: () => theme()[k ? `${fill}-inner` : fill] })),
      edges: levels.map((level) => (level === middle() ? undefined : level > middle() ? "high" : "low")),
    };
  }

  /** The forecast of a component, as a fan after the other lines of a plot; nothing where there is none. */
  function ahead(component, from) {
    const place = Object.keys(state.seen_on).indexOf(component);
    if (!state.forecast || place < 0) return { lines: [], bands: [], steps: () => 0, extended: (held) => held, told: () => "", heights: () => [] };
    const { levels, lines, bands } = fan(from, "other", "ahead");
    const quantiles = () => state.forecast.quantiles[place];
    return {
      lines,
      bands,
      steps: () => quantiles()[0].length,
      /** The columns with the forecast's: `lines` more, and as many steps as it looks ahead. */
      extended([x, ...held]) {
        const [before, after] = [new Array(x.length).fill(null), new Array(quantiles()[0].length).fill(null)];
        return [
          [...x, ...after.map((_, h) => state.forecast.first + h)],
          ...held.map((column) => [...column, ...after]),
          ...levels.map((level) => [...before, ...quantiles()[level]]),
        ];
      },
      told(step) {
        const [low, at, high] = [0, middle(), state.levels.length - 1].map((level) => quantiles()[level][step - state.forecast.first]);
        return at === undefined ? "" : `${step}: forecast ${number(at)}, ${number(low)} to ${number(high)}`;
      },
      /** What must be seen of it: the innermost band. */
      heights: () => [middle() - 1, middle(), middle() + 1].flatMap((level) => quantiles()[level] ?? []).filter((value) => value !== null),
    };
  }

  /** The y axis of lines with a forecast, whose outer bands may be far wider than all that was. */
  const room = (forecast) => (u) => {
    const end = state.forecast ? state.forecast.first : Infinity;
    const seen = forecast.heights();
    if (!seen.length) return null;
    const own = u.data.slice(1, u.data.length - forecast.lines.length);
    for (const column of own) column.forEach((value, at) => value !== null && value !== undefined && u.data[0][at] < end && seen.push(value));
    const [least, greatest] = seen.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    const margin = (greatest - least) * 0.08 || Math.abs(greatest) * 0.1 || 1;
    return [least - margin, greatest + margin];
  };

  /** Points of some lines: where they are few in front of the fan, where they are many behind it. */
  const dots = (first, lines, most, front) => (u, context, colours) => {
    const apart = u.bbox.width / devicePixelRatio / Math.max(1, u.scales.x.max - u.scales.x.min);
    if (front !== apart >= APART) return;
    const radius = Math.max(0.8, Math.min(most, apart / 3)) * devicePixelRatio;
    context.fillStyle = colours.ink;
    for (const column of u.data.slice(first, first + lines)) {
      column.forEach((value, at) => {
        if (value === null || value === undefined) return;
        context.beginPath();
        context.arc(u.valToPos(u.data[0][at], "x", true), u.valToPos(value, "y", true), radius, 0, 2 * Math.PI);
        context.fill();
      });
    }
  };

  /** The y axis of a parameter: once it is known better, the prior's width at the first steps no longer counts. */
  const settled = (name) => () => {
    const outer = [0, state.levels.length - 1].map((level) => line("quantiles", name, level));
    if (span !== "all" || state.count < ENOUGH || outer.includes(undefined)) return null;
    const from = Math.floor(outer[0].low.length / 4);
    const least = Math.min(...outer[0].low.slice(from).filter((each) => each !== null));
    const greatest = Math.max(...outer[1].high.slice(from).filter((each) => each !== null));
    const margin = (greatest - least) * 0.12 || Math.abs(greatest) * 0.1 || 1;
    return least <= greatest ? [least - margin, greatest + margin] : null;
  };

  /** A label's fan, with the observations that are seen on it. */
  function fanned(name, height, heights) {
    const told = reading(name, "fan");
    const seen = Object.entries(state.seen_on).filter(([, on]) => on === name).map(([component]) => component);
    const { lines, bands, edges, levels } = fan();
    const forecast = ahead(seen[0], levels.length + seen.length + 1);
    const held = () => [...levels.map((level) => line("quantiles", name, level)), ...seen.map((component) => line("observations", component))];
    const points = (front) => dots(levels.length + 1, seen.length, height / 70, front);
    const plot = new Plot(told.room, {
      title: `fan of ${name}`,
      height,
      sync: "smc2",
      lines: [...lines, ...seen.map((component) => ({ label: component, colour: "ink", width: 0.001, points: 0 })), ...forecast.lines],
      bands: [...bands, ...forecast.bands],
      columns: () => forecast.extended(columns(held(), edges)),
      x: () => ends(forecast.steps()),
      y: heights ?? room(forecast),
      behind: points(false),
      before(...drawing) {
        alone(levels)(...drawing);
        points(true)(...drawing);
      },
      read(index, u) {
        if (index === null || index === undefined || state.levels.length % 2 === 0) return say(told.read, "");
        const [low, high, at] = [u.data[2][index], u.data[1][index], u.data[levels.length][index]];
        const step = Math.floor(u.data[0][index]);
        const values = seen.map((component, k) => `, ${component} ${number(u.data[levels.length + 1 + k][index])}`).join("");
        say(told.read, at === null ? forecast.told(step) : `${step}: ${number(at)}, ${number(low)} to ${number(high)}${values}`);
      },
    });
    plots.push(plot);
    return { ...told, plot };
  }

  /** Bands need two steps: where there is one, upright lines stand for them. */
  const alone = (levels) => (u, context, colours) => {
    if (state.count !== 1) return;
    context.strokeStyle = colours.data;
    const x = u.valToPos(u.data[0][0], "x", true);
    for (let k = 1; k + 1 <= levels.length - (levels.length % 2); k += 2) {
      context.lineWidth = (k + 1) * devicePixelRatio;
      context.globalAlpha = 0.5;
      context.beginPath();
      context.moveTo(x, u.valToPos(u.data[k][0], "y", true));
      context.lineTo(x, u.valToPos(u.data[k + 1][0], "y", true));
      context.stroke();
    }
  };

  function reading(name, testid) {
    const told = figure(name, testid);
    const read = element("span", { class: "read", "aria-hidden": "true" });
    told.root.dataset.name = name;
    told.root.querySelector("figcaption").append(read);
    return { ...told, read };
  }

  /** A figure of numbers of the steps, or of observations that are on no state. */
  function plain(name, testid, kind, names, options = {}) {
    const told = reading(name, testid);
    const plot = new Plot(told.room, {
      title: name,
      height: LOWER,
      sync: "smc2",
      lines: names.map((each) => ({ label: each, colour: "data", width: 1.4 })),
      columns: () => columns(names.map((each) => line(kind, each))),
      x: () => ends(),
      read(index, u) {
        const values = index === null || index === undefined ? [] : u.data.slice(1).map((column) => column[index]).filter((value) => value !== null && value !== undefined);
        say(told.read, values.length ? `${Math.floor(u.data[0][index])}: ${values.map((value) => number(value)).join(", ")}` : "");
      },
      ...options,
    });
    plots.push(plot);
    return { ...told, plot };
  }

  /** A dashed line at a height, and a mark at the foot of each rejuvenation; a filled one where states were doubled. */
  const marked = (height) => (u, context, colours) => {
    context.lineWidth = devicePixelRatio;
    if (height !== null && Number.isFinite(height)) {
      context.strokeStyle = colours.soft;
      context.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      context.beginPath();
      context.moveTo(u.bbox.left, u.valToPos(height, "y", true));
      context.lineTo(u.bbox.left + u.bbox.width, u.valToPos(height, "y", true));
      context.stroke();
      context.setLineDash([]);
    }
    const size = 4 * devicePixelRatio;
    const bottom = u.bbox.top + u.bbox.height;
    context.strokeStyle = context.fillStyle = colours.other;
    for (const event of events) {
      const x = u.valToPos(event.t, "x", true);
      context.beginPath();
      context.moveTo(x, bottom - 2 * size);
      context.lineTo(x - size, bottom - 1);
      context.lineTo(x + size, bottom - 1);
      context.closePath();
      if (event.exchanges) context.fill();
      context.stroke();
    }
  };

  let health = null;

  function build() {
    destroy();
    plots = [];
    const known = new Set(state.states);
    const [above, below] = [state.shown.filter((name) => known.has(name)), state.shown.filter((name) => !known.has(name))];
    fans = new Map();
    const add = (room, names, height, heights) => {
      room.classList.toggle("thirds", names.length % 3 === 0);
      room.classList.toggle("halves", names.length % 3 !== 0 && names.length > 1);
      room.replaceChildren(...names.map((name) => {
        const made = fanned(name, height, heights?.(name));
        fans.set(name, made);
        return made.root;
      }));
    };
    add(first, above.slice(0, 1), TALL);
    add(states, above.slice(1), LOW);
    add(parameters, below, LOW, settled);
    about.hidden = !below.length;
    const apart = Object.entries(state.seen_on).filter(([, on]) => on === null).map(([component]) => component);
    for (const component of apart) {
      const forecast = ahead(component, 2);
      const made = plain(`observed: ${component}`, "observation", "observations", [component], {
        height: LOW,
        lines: [{ label: component, colour: "ink", width: 0.001, points: 0 }, ...forecast.lines],
        bands: forecast.bands,
        columns: () => forecast.extended(columns([line("observations", component)])),
        x: () => ends(forecast.steps()),
        y: room(forecast),
        behind: dots(1, 1, 2, false),
        before: dots(1, 1, 2, true),
      });
      states.append(made.root);
    }
    const { n_theta: n = null, ess_threshold: least = null, min_acceptance: accepted = null } = state.settings;
    const steps = (name) => ["steps", [name]];
    health = {
      ess: plain("effective sample size of the parameters", "ess", ...steps("ess"), { y: n ? () => [0, n * 1.04] : undefined, before: marked(n && least ? n * least : null) }),
      acceptance: plain("acceptance of the moves", "acceptance", "", [], {
        lines: [{ label: "acceptance", colour: "other", width: 1, points: 5 }],
        columns: () => [events.map((event) => event.t), events.map((event) => event.acceptance)],
        y: () => [0, Math.max(0.5, ...events.map((event) => event.acceptance ?? 0)) * 1.08],
        before: marked(accepted),
      }),
      evidence: plain("log evidence", "evidence", ...steps("log_evidence")),
      score: plain("log score of each observation", "score", ...steps("log_evidence_increment"), { lines: [{ label: "log score", colour: "data", width: 0.8 }] }),
    };
    sampler.replaceChildren(...Object.values(health).map((each) => each.root));
  }

  function words() {
    const { totals, settings } = state;
    const now = performance.now() / 1000;
    pace = [...pace.filter(([time]) => time > now - 10), [now, state.count]];
    const rate = now - pace[0][0] > 0.5 ? (state.count - pace[0][1]) / (now - pace[0][0]) : 0;
    const latest = (name) => line("steps", name)?.tail.at(-1) ?? null;
    const [ess, size] = [latest("ess"), latest("n_x")];
    const left = rate ? `≈ ${duration((state.total - state.count) / rate)}` : "–";
    const when = state.total ? ["time left", left] : ["observations/s", rate ? number(rate, 2) : "–"];
    tiles(facts, [
      ["observations", `${count(state.count)}${state.total ? ` of ${count(state.total)}` : ""}`],
      ["log evidence", number(latest("log_evidence"), 6)],
      running() ? when : ["status", state.status, state.status === "failed"],
      ["ESS", `${ess === null ? "–" : count(ess)}${settings.n_theta ? ` of ${count(settings.n_theta)}` : ""}`],
      ["rejuvenations", count(totals.rejuvenations)],
      ["states a filter", size === null ? "–" : count(size)],
      ...(totals.faults ? [["faults", count(totals.faults), true]] : []),
      ...(totals.skipped ? [["skipped", count(totals.skipped), true]] : []),
      ...(totals.revised ? [["revised", count(totals.revised)]] : []),
    ]);
    failures(failed, state.failures, (each) => `${each.t === null ? "" : `observation ${each.t}: `}${each.error}`);
    none.hidden = state.count > 0;
    legend.hidden = !state.count;
    const last = state.levels.length - 1;
    const bands = state.levels.slice(0, Math.ceil(last / 2)).map((level, k) => between(level, state.levels[last - k]));
    const seen = Object.values(state.seen_on).some((on) => on !== null);
    say(legend, `Line: the median after each observation; bands: ${bands.reverse().join(" and ")}.${seen ? " Points: observations." : ""}${state.forecast ? ` Ahead: the forecast of the next ${state.forecast.quantiles[0][0].length} observations.` : ""}`);
    for (const [name, told] of fans) {
      told.root.dataset.count = String(state.count);
      const values = state.levels.map((_, level) => line("quantiles", name, level)?.tail.at(-1) ?? null);
      say(told.facts, values.includes(null) || !values.length ? "–" : `now ${number(values[middle()])} · ${between(state.levels[0], state.levels[last])} ${number(values[0])} to ${number(values[last])}`);
    }
    if (!health) return;
    const accepted = events.at(-1);
    say(health.evidence.facts, `now ${number(latest("log_evidence"), 6)}`);
    say(health.score.facts, `now ${number(latest("log_evidence_increment"))}`);
    say(health.ess.facts, ess === null ? "–" : `now ${number(ess, 3)} · △ rejuvenated, below the dashes`);
    say(health.acceptance.facts, accepted ? `last ${number(accepted.acceptance, 2)} in ${accepted.moves} moves · ▲ states doubled, below the dashes` : "no rejuvenation so far");
  }

  return {
    update(data) {
      const { full, steps, observations, quantiles, rejuvenations, ...rest } = data;
      const before = state;
      state = full ? rest : { ...state, ...rest };
      if (full) {
        series = new Map();
        events = [];
        pace = [];
      }
      events = [...events, ...rejuvenations];
      if (events.length > 500) events = events.slice(-500);
      for (const [kind, came] of Object.entries({ steps, observations, quantiles })) take(series, came, (each) => `${kind}\n${each.name}\n${each.chain}`);
      if (full) {
        const layout = (each) => each && JSON.stringify([each.shown, each.states, each.seen_on, each.levels, each.settings, each.forecast === null]);
        if (layout(before) !== layout(state)) build();
        labels.set(state.names, state.shown);
      }
      if (full || steps.length || before?.status !== state.status) for (const plot of plots) plot.changed();
      words();
    },
    destroy,
  };

  function destroy() {
    for (const plot of plots) plot.destroy();
  }
}
