// A simulation: what the replications say so far, how busy each resource is, and intervals that narrow.

import { count, duration, element, number, picker, say, tiles } from "../dom.js";
import { figure, Plot, theme } from "../plot.js";
import { overview, take } from "../series.js";

const CURVES = ["high", "low", "value", "mean"];
const COLUMNS = ["resource", "utilization", "mean queue", "mean wait"];

export default function mount(root, page) {
  let state = null;
  let series = new Map(); // metric and curve -> Series
  let figures = new Map();
  let pace = []; // [seconds, replications] of the last ten seconds

  const facts = element("dl", { class: "facts", "data-testid": "facts" });
  const failures = element("ul", { class: "problem", "data-testid": "failures", hidden: true });
  const body = element("tbody");
  const table = element("table", { "data-testid": "resources" },
    element("thead", {}, element("tr", {}, ...COLUMNS.map((title) => element("th", { scope: "col", textContent: title })))), body);
  const busy = element("section", {}, element("h2", { textContent: "Resources" }), element("div", { class: "table" }, table));
  const metrics = picker((names) => page.show(names), "metrics");
  const plots = element("div", { class: "grid", "data-testid": "metrics" });
  const none = element("p", { class: "detail", textContent: "No replication has ended so far." });
  root.append(facts, failures, busy,
    element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "Replications" }), metrics.root), metrics.panel,
      element("p", { class: "detail", textContent: "Points: each replication. Line and band: the mean so far with its 95 % interval." }), none, plots));

  const curves = (name) => CURVES.map((curve) => series.get(`${name}\n${curve}`));

  function build() {
    for (const each of figures.values()) each.plot.destroy();
    plots.replaceChildren();
    figures = new Map(state.shown.map((name) => {
      const shown = figure(name, "metric");
      shown.root.dataset.name = name;
      plots.append(shown.root);
      const plot = new Plot(shown.room, {
        title: `${name} by replication`,
        height: 130,
        sync: "sim",
        lines: [
          { label: "upper end", colour: "data", width: 0.8 },
          { label: "lower end", colour: "data", width: 0.8 },
          { label: "replication", colour: "soft", width: 0.001, points: 3 },
          { label: "mean", colour: "data", width: 1.8 },
        ],
        bands: [{ series: [1, 2], fill: () => theme().band }],
        columns: () => overview(curves(name)),
        x: () => [0, Math.max(10, state.status === "running" ? Math.min(state.total, doubled(state.made)) : state.made)],
        y: () => heights(name),
      });
      return [name, { shown, plot }];
    }));
    none.hidden = state.names.length > 0;
  }

  /** The first of 100, 200, 400, ... that is enough, so that the axis rarely moves. */
  const doubled = (made) => 100 * 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(1, made) / 100)));

  /** The y axis: of the values; the first intervals may be far wider. */
  function heights(name) {
    const values = series.get(`${name}\nvalue`);
    let [low, high] = [Infinity, -Infinity];
    for (const value of values?.low ?? []) if (value !== null && value < low) low = value;
    for (const value of values?.high ?? []) if (value !== null && value > high) high = value;
    const room = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
    return low <= high ? [low - room, high + room] : null;
  }

  const spread = (told) => (told ? `${number(told.mean)}${told.low === null || told.low === undefined ? "" : ` ± ${number(told.high - told.mean, 2)}`}` : "–");

  function words() {
    const now = performance.now() / 1000;
    pace = [...pace.filter(([time]) => time > now - 10), [now, state.made]];
    const rate = now - pace[0][0] > 0.5 ? (state.made - pace[0][1]) / (now - pace[0][0]) : 0;
    const running = state.status === "running";
    tiles(facts, [
      ["replications", `${count(state.made)}${state.total ? ` of ${count(state.total)}` : ""}`],
      ["failed", count(state.failed), state.failed > 0],
      [running ? "time left" : "status", running ? (rate ? `≈ ${duration((state.total - state.made) / rate)}` : "–") : state.status, state.status === "failed"],
      ["events", count(state.events)],
      ["statistics from", number(state.statistics_from)],
      ["until", number(state.settings?.until)],
    ]);
    failures.hidden = !state.failures.length;
    failures.replaceChildren(...state.failures.map((each) => element("li", { textContent: `${each.replication === null ? "" : `replication ${each.replication}: `}${each.error}` })));
    busy.hidden = !state.resources.length;
    state.resources.forEach((resource, place) => {
      if (!body.children[place]) body.append(element("tr", {}, element("td"), element("td", {}, element("progress", { max: 1 }), element("span")), element("td"), element("td")));
      const [name, use, queue, wait] = body.children[place].children;
      say(name, resource.name);
      use.firstChild.value = resource.utilization?.mean ?? 0;
      use.firstChild.setAttribute("aria-label", `utilization of ${resource.name}`);
      say(use.lastChild, ` ${spread(resource.utilization)}`);
      say(queue, spread(resource.queue));
      say(wait, spread(resource.wait));
    });
    while (body.children.length > state.resources.length) body.lastChild.remove();
    for (const told of state.summary) {
      const shown = figures.get(told.name)?.shown;
      if (shown) say(shown.facts, spread(told));
    }
  }

  return {
    update(data) {
      const { full, series: came, ...rest } = data;
      const before = state;
      state = full ? rest : { ...state, ...rest };
      if (full) series = new Map();
      const touched = new Set(full || before?.status !== state.status ? state.shown : []);
      for (const name of take(series, came)) touched.add(name);
      if (full) {
        if (!before || String(before.shown) !== String(state.shown)) build();
        metrics.set(state.names, state.shown);
        pace = [];
      }
      for (const name of touched) {
        const shown = figures.get(name);
        if (!shown) continue;
        shown.plot.changed();
        shown.shown.root.dataset.count = String(series.get(`${name}\nvalue`)?.count ?? 0);
      }
      words();
    },
    destroy() {
      for (const each of figures.values()) each.plot.destroy();
    },
  };
}
