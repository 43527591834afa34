// Process control: the answer, the chart with its limits, where the changes are likely, and the alarms.

import { count, element, number, say, tiles } from "../dom.js";
import { figure, Picture, Plot, theme } from "../plot.js";

const MOST_POINTS = 2000;
const MOST_COLUMNS = 300;
const MOST_ROWS = 60;

export default function mount(root) {
  let state = null;
  let points = [];
  let lengths = [];
  let alarms = [];
  let listed = 0;

  const end = element("p", { class: "verdict", "data-testid": "verdict", hidden: true });
  const detail = element("p", { class: "detail", hidden: true });
  const failure = element("p", { class: "problem", "data-testid": "failures", hidden: true });
  const facts = element("dl", { class: "facts", "data-testid": "facts" });
  const chart = figure("Observations, prediction and limits", "chart");
  const strip = figure("Probability of a recent change", "recent");
  const heat = figure("Steps since the last change, and how probable", "heat");
  const list = element("ol", { class: "alarms", "data-testid": "alarms" });
  const none = element("p", { class: "detail", textContent: "None so far." });
  const link = element("a", { "data-testid": "nuts-link", textContent: "the sampler beside it" });
  const beside = element("p", { class: "detail", hidden: true }, "Levels and change time are sampled by NUTS: ", link, ".");
  root.append(end, detail, failure, facts, beside, element("section", {}, chart.root, strip.root, heat.root),
    element("section", {}, element("h2", { textContent: "Alarms" }), none, list));

  const name = (seq) => (Number.isInteger(seq) ? (points[seq - (points[0]?.seq ?? 0)]?.label ?? String(seq)) : "");
  const column = (field) => points.map((point) => point[field]);
  const ends = () => {
    const first = points[0]?.seq ?? 0;
    const last = points.at(-1)?.seq ?? 1;
    const total = state.status === "running" && state.count ? Math.min(state.count, MOST_POINTS) : 0;
    return [first - 0.5, Math.max(last, first + total - 1) + 0.5];
  };
  /** The y axis: of the limits, which are wide at first, as much as the observations need. */
  const heights = () => {
    const seen = column("x").filter((x) => x !== null);
    if (seen.length < 2) return null;
    const [low, high] = [Math.min(...seen), Math.max(...seen)];
    const room = (high - low) * 0.6 || Math.abs(high) * 0.1 || 1;
    const limits = points.flatMap((point) => [point.lower, point.upper]).filter((each) => each !== null && each > low - room && each < high + room);
    const margin = room * 0.15;
    return [Math.min(low, ...limits) - margin, Math.max(high, ...limits) + margin];
  };
  const read = element("span", { class: "read", "aria-hidden": "true" });
  chart.root.querySelector("figcaption").append(read);
  const main = new Plot(chart.room, {
    title: "control chart",
    height: 260,
    sync: "spc",
    lines: [
      { label: "upper limit", colour: "soft", dash: [4, 4] },
      { label: "lower limit", colour: "soft", dash: [4, 4] },
      { label: "prediction", colour: "ink", width: 1.6 },
      { label: "observation", colour: "data", width: 1, points: 5 },
    ],
    bands: [{ series: [1, 2], fill: () => theme().band }],
    columns: () => [column("seq"), column("upper"), column("lower"), column("center"), column("x")],
    x: ends,
    y: heights,
    label: name,
    before: alarmed,
    read(index) {
      const point = index === null || index === undefined ? null : points[index];
      say(read, point ? `${point.label}: ${point.x === null ? "missing" : number(point.x)}${point.lower === null ? "" : `, expected ${number(point.lower)} to ${number(point.upper)}`}` : "");
    },
  });
  const recent = new Plot(strip.room, {
    title: "probability of a recent change",
    height: 90,
    sync: "spc",
    lines: [{ label: "P(recent change)", colour: "alarm", width: 1.5, fill: "alarm-band" }],
    columns: () => [column("seq"), column("recent")],
    x: ends,
    y: () => [0, 1],
    label: name,
  });
  const canvas = element("canvas", { "data-testid": "heat-canvas" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "heat map of the run length by point");
  heat.room.append(canvas);
  const map = new Picture(heat.room);
  map.paint = () => paintMap(canvas, lengths, points, ends(), name);

  function alarmed(u, context, colours) {
    context.strokeStyle = colours.alarm;
    context.lineWidth = 1.5 * devicePixelRatio;
    for (const point of points) {
      if (!point.alarms.length) continue;
      const x = u.valToPos(point.seq, "x", true);
      context.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      context.beginPath();
      context.moveTo(x, u.bbox.top);
      context.lineTo(x, u.bbox.top + u.bbox.height);
      context.stroke();
      context.setLineDash([]);
      if (point.x === null) continue;
      context.beginPath();
      context.arc(x, u.valToPos(point.x, "y", true), 6 * devicePixelRatio, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  function append(held, come, from, most) {
    return [...held.filter((each) => each.seq < from), ...come].slice(-most);
  }

  return {
    update(data) {
      state = data.full ? data : { ...state, ...data };
      const from = data.full ? 0 : data.from;
      points = append(data.full ? [] : points, data.points, from, MOST_POINTS);
      lengths = append(data.full ? [] : lengths, data.lengths, from, MOST_COLUMNS);
      alarms = append(data.full ? [] : alarms, data.alarms, from, 500);
      const last = points.at(-1);
      for (const [node, text] of [[end, state.end], [detail, state.detail], [failure, state.error]]) {
        node.hidden = !text;
        say(node, text ?? "");
      }
      tiles(facts, [
        ["data", state.data || "–"],
        ["points", `${count(last ? last.seq + 1 : 0)}${state.count ? ` of ${count(state.count)}` : ""}`],
        ["P(recent change)", last ? last.recent.toFixed(3) : "–", last?.recent > (state.settings?.threshold ?? 0.5)],
        ["steps since change", last ? count(last.run_length) : "–"],
        ["alarms", count(state.alarm_count ?? alarms.length), state.alarm_count > 0],
      ]);
      beside.hidden = !state.nuts;
      if (state.nuts) link.href = `#${encodeURIComponent(state.nuts)}`;
      chart.root.dataset.count = String(points.length);
      if (data.full || data.alarms.length || listed !== alarms.length) {
        listed = alarms.length;
        none.hidden = alarms.length > 0;
        list.replaceChildren(...alarms.toReversed().map((alarm) => element("li", {}, element("b", { textContent: alarm.label }), element("span", { class: "rule", textContent: alarm.rule }), element("span", { textContent: alarm.text }))));
      }
      if (data.full || data.points.length || data.status !== "running") {
        main.changed();
        recent.changed();
        map.changed();
      }
    },
    destroy() {
      main.destroy();
      recent.destroy();
      map.destroy();
    },
  };
}

const LEFT = 46;
const BOTTOM = 22;
const HEIGHT = 180;

/** Draw the probabilities as darkness: a column a point, a row so many steps since the last change. */
function paintMap(canvas, columns, points, [first, last], name) {
  const ratio = devicePixelRatio;
  const width = Math.floor(canvas.parentNode.clientWidth);
  if (!width) return;
  if (canvas.width !== width * ratio) {
    canvas.width = width * ratio;
    canvas.height = HEIGHT * ratio;
  }
  const colours = theme();
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, HEIGHT);
  const longest = Math.max(9, ...columns.map((column) => column.lengths.at(-1) ?? 0)) + 1;
  const step = Math.ceil(longest / MOST_ROWS);
  const across = (seq) => LEFT + ((seq - first) / (last - first)) * (width - LEFT - 14);
  const down = (length) => HEIGHT - BOTTOM - (length / (longest + step)) * (HEIGHT - BOTTOM - 6);
  context.fillStyle = colours.data;
  for (const column of columns) {
    const cells = new Map();
    column.lengths.forEach((length, k) => {
      const row = Math.floor(length / step);
      cells.set(row, (cells.get(row) ?? 0) + column.probabilities[k]);
    });
    const left = across(column.seq - 0.5);
    for (const [row, probability] of cells) {
      context.globalAlpha = Math.min(1, Math.sqrt(probability));
      context.fillRect(left, down((row + 1) * step), Math.max(1, across(column.seq + 0.5) - left + 0.3), down(row * step) - down((row + 1) * step) + 0.3);
    }
  }
  context.globalAlpha = 1;
  context.fillStyle = colours.soft;
  context.strokeStyle = colours.line;
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  const marks = rounds(longest, 4);
  for (const length of marks) {
    context.fillText(String(length), LEFT - 5, down(length));
    context.globalAlpha = 0.6;
    context.fillRect(LEFT, down(length), width - LEFT - 14, 0.5);
    context.globalAlpha = 1;
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  const start = Math.ceil(first);
  for (const offset of rounds(last - start, Math.max(2, Math.floor(width / 110)))) {
    const text = name(start + offset);
    if (text && across(start + offset) < width - 14) context.fillText(text, across(start + offset), HEIGHT - BOTTOM + 5);
  }
  canvas.dataset.columns = String(columns.length);
}

/** Round numbers from 0 to at most `end`, about `many` of them. */
function rounds(end, many) {
  const rough = Math.max(1, end / many);
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((each) => each >= rough);
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, k) => k * step);
}
