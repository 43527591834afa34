// The factory twin: what was expected of each shift and what came, then what is believed of each machine.

import { element, number, picker, say, tiles } from "../dom.js";
import { figure, Plot, theme } from "../plot.js";

const KPIS = [["lead", "lead time, minutes", 240], ["throughput", "jobs done in a shift", 160], ["wip", "jobs in the shop at a shift's end", 160]];
const LOW = 120;
const MOST = 2000;

export default function mount(root, page) {
  let state = null;
  let shifts = [];
  let plots = [];
  let figures = [];

  const facts = element("dl", { class: "facts", "data-testid": "facts" });
  const answer = element("p", { class: "answer", "data-testid": "answer", hidden: true });
  const labels = picker((names) => page.show(names), "parameters");
  const first = element("div", { "data-testid": "first" });
  const others = element("div", { class: "grid halves", "data-testid": "kpis" });
  const parameters = element("div", { class: "grid thirds", "data-testid": "parameters" });
  const legend = element("p", { class: "detail", textContent: "Bands: half and nine tenths of what was expected before each shift, and of the one to come. Points: what came." });
  root.append(facts, answer,
    element("section", {}, element("h2", { textContent: "Expected and come" }), legend, first, others),
    element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "What the machines are like, in minutes" }), labels.root), labels.panel, parameters));

  const fan = [
    ...[4, 0, 3, 1].map((level) => ({ label: `quantile ${level}`, colour: "data", width: 0.4, points: 0 })),
    { label: "median", colour: "data", width: 1.6, points: 0 },
  ];
  const bands = [
    { series: [1, 2], fill: () => theme().band },
    { series: [3, 4], fill: () => theme()["band-inner"] },
  ];

  /** Points of the last column: those outside of the outer band are in the colour of alarms. */
  const dots = (u, context, colours) => {
    const values = u.data.at(-1);
    values.forEach((value, at) => {
      if (value === null) return;
      const [high, low] = [u.data[1][at], u.data[2][at]];
      const out = high !== null && (value > high || value < low);
      context.fillStyle = out ? colours.alarm : colours.ink;
      context.beginPath();
      context.arc(u.valToPos(u.data[0][at], "x", true), u.valToPos(value, "y", true), (out ? 4 : 2.6) * devicePixelRatio, 0, 2 * Math.PI);
      context.fill();
    });
  };

  function kpi(name, title, height) {
    const told = figure(title, "kpi");
    told.root.dataset.name = name;
    const read = element("span", { class: "read", "aria-hidden": "true" });
    told.root.querySelector("figcaption").append(read);
    const plot = new Plot(told.room, {
      title,
      height,
      sync: "twin",
      lines: [...fan, { label: "came", colour: "ink", width: 0.001, points: 0 }],
      bands,
      columns() {
        const rows = shifts.map((shift) => [shift.seq + 1, shift.expected[name], shift.kpis[name]]);
        if (state.next[name]) rows.push([state.count + 1, state.next[name].quantiles, null]);
        const level = (k) => rows.map(([, quantiles]) => quantiles?.[k] ?? null);
        return [rows.map(([x]) => x), level(4), level(0), level(3), level(1), level(2), rows.map(([, , value]) => value)];
      },
      x: () => [0.5, Math.max(state.count + 1.5, 12.5)],
      before: dots,
      read(index, u) {
        if (index === null || index === undefined) return say(read, "");
        const [shift, high, low, , , , came] = u.data.map((column) => column[index]);
        say(read, `shift ${shift}: ${came === null ? "" : `${number(came)}, `}expected ${number(low)} to ${number(high)}`);
      },
    });
    plots.push(plot);
    figures.push({ ...told, told() {
      const next = state.next[name];
      if (!next) return "–";
      const [low, , middle, , high] = next.quantiles;
      return `next ${number(middle, 3)}, 90 % ${number(low, 3)} to ${number(high, 3)} · ±${number(next.epistemic, 2)} not knowing, ±${number(next.aleatoric, 2)} chance`;
    } });
    return told.root;
  }

  function parameter(name) {
    const told = figure(name, "parameter");
    told.root.dataset.name = name;
    const plot = new Plot(told.room, {
      title: name,
      height: LOW,
      sync: "twin",
      lines: [...fan.slice(0, 2), fan[4]],
      bands: bands.slice(0, 1),
      columns() {
        const rows = shifts.filter((shift) => shift.parameters[name]);
        const level = (k) => rows.map((shift) => shift.parameters[name][k]);
        return [rows.map((shift) => shift.seq + 1), level(2), level(0), level(1)];
      },
      x: () => [0.5, Math.max(state.count + 1.5, 12.5)],
    });
    plots.push(plot);
    figures.push({ ...told, told() {
      const now = shifts.at(-1)?.parameters[name];
      if (!now) return "–";
      const moved = state.changed.find((each) => each.parameter === name);
      told.root.classList.toggle("changed", Boolean(moved));
      return `${moved ? `⚠ ${number(moved.factor, 3)} times what it was · ` : ""}${number(now[1], 3)}, 90 % ${number(now[0], 3)} to ${number(now[2], 3)}`;
    } });
    return told.root;
  }

  function build() {
    destroy();
    plots = [];
    figures = [];
    const [main, ...rest] = KPIS.map((each) => kpi(...each));
    first.replaceChildren(main);
    others.replaceChildren(...rest);
    parameters.replaceChildren(...state.shown.map(parameter));
  }

  function words() {
    const lead = state.next.lead?.quantiles;
    tiles(facts, [
      ["shifts", String(state.count)],
      ...(state.status === "running" ? [] : [["status", state.status, state.status === "failed"]]),
      ...(lead ? [["lead time of the next", `${number(lead[0], 3)} to ${number(lead[4], 3)}`]] : [["learning from", `${state.settings.history ?? "–"} shifts`]]),
      ["changed", state.changed.length ? state.changed.map((each) => `${each.parameter} × ${number(each.factor, 3)}`).join(", ") : "nothing", state.changed.length > 0],
    ]);
    answer.hidden = !state.answer;
    say(answer, state.answer ?? "");
    for (const each of figures) {
      each.root.dataset.count = String(state.count);
      say(each.facts, each.told());
    }
  }

  return {
    update(data) {
      const { full, shifts: came, ...rest } = data;
      const before = state;
      state = full ? rest : { ...state, ...rest };
      const from = came.length ? came[0].seq : Infinity;
      shifts = full ? came : [...shifts.filter((shift) => shift.seq < from), ...came].slice(-MOST);
      if (full) {
        const layout = (each) => each && JSON.stringify([each.shown, each.machines]);
        if (layout(before) !== layout(state)) build();
        labels.set(state.names, state.shown);
      }
      for (const plot of plots) plot.changed();
      words();
    },
    destroy,
  };

  function destroy() {
    for (const plot of plots) plot.destroy();
  }
}
