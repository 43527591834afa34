// Plots over uPlot: each draws itself at most once a frame, only after it changed, and only where it can be seen.

import { element } from "./dom.js";

const DASHES = [[], [7, 3], [2, 2], [10, 3, 2, 3]];
const COLOURS = 6;
const waiting = new Set();
const drawn = new Map();
let frame = 0;

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const picture = drawn.get(entry.target);
    if (picture) picture.visible = entry.isIntersecting;
  }
  ask();
}, { rootMargin: "200px" });

const sized = new ResizeObserver((entries) => {
  for (const entry of entries) drawn.get(entry.target)?.resize(Math.floor(entry.contentRect.width));
});

function ask() {
  if (!frame && [...waiting].some((picture) => picture.visible)) frame = requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  for (const picture of [...waiting]) {
    if (!picture.visible) continue;
    waiting.delete(picture);
    picture.paint();
  }
}

/** The page's colours as they are now. */
export function theme() {
  const style = getComputedStyle(document.documentElement);
  return new Proxy({}, { get: (_, name) => style.getPropertyValue(`--${name}`).trim() });
}

/** How the k-th of several lines looks: hue and dashes, so that either alone tells. */
export function look(k) {
  return { colour: `c${k % COLOURS}`, dash: DASHES[k % DASHES.length] };
}

const SVG = "http://www.w3.org/2000/svg";

/** A short sample of the k-th line, for legends. */
export function sample(k) {
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ width: 22, height: 10, "aria-hidden": "true", class: `sample c${k % COLOURS}` })) {
    svg.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries({ x1: 0, x2: 22, y1: 5, y2: 5, "stroke-dasharray": look(k).dash.join(" ") })) {
    line.setAttribute(name, value);
  }
  svg.append(line);
  return svg;
}

/** What draws itself on a frame: give it `paint()` and `resize(width)`; call `changed()`. */
export class Picture {
  visible = false;

  constructor(root) {
    this.root = root;
    drawn.set(root, this);
    seen.observe(root);
    sized.observe(root);
  }

  changed() {
    waiting.add(this);
    ask();
  }

  resize() {
    this.changed();
  }

  destroy() {
    waiting.delete(this);
    drawn.delete(this.root);
    seen.unobserve(this.root);
    sized.unobserve(this.root);
  }
}

/** The colours have changed: all is drawn again. */
export function redraw() {
  for (const picture of drawn.values()) picture.changed();
}

/**
 * A plot of lines against steps.
 *
 * `lines`: [{label, colour, dash, width, fill, points, stepped, joined}], `points` their size, 0 for never, else where
 * steps are few, `joined` over missing steps; `bands`: [{series: [upper, lower], fill}], lines from 1; `columns()` returns x and a column a line;
 * `x()` and `y()` return the axes' ends, or null where the data tell; `behind` and `before` draw on the canvas, with
 * (uPlot, context, theme); `label(x)` names a step; `read(text)` is told what is under the cursor.
 */
export class Plot extends Picture {
  #plot = null;
  #zoomed = false;

  constructor(root, options) {
    super(root);
    this.options = options;
    this.hidden = new Set();
  }

  /** Show only these lines (by index from 0), or all. */
  only(lines) {
    this.hidden = new Set(this.options.lines.map((_, k) => k).filter((k) => lines && !lines.has(k)));
    this.#plot?.batch(() => this.options.lines.forEach((_, k) => this.#plot.setSeries(k + 1, { show: !this.hidden.has(k) })));
    this.changed();
  }

  resize(width) {
    if (this.#plot && width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: this.options.height });
    this.changed();
  }

  paint() {
    const width = Math.floor(this.root.clientWidth);
    if (!width) return;
    const columns = this.options.columns();
    this.root.columns = columns; // what is drawn, for who looks at the page with a program
    if (!this.#plot) {
      this.#plot = this.#make(width, columns);
    } else if (this.#zoomed) {
      const { min, max } = this.#plot.scales.x;
      this.#plot.batch(() => {
        this.#plot.setData(columns, false);
        this.#plot.setScale("x", { min, max });
      });
    } else {
      this.#plot.setData(columns);
    }
    // A step may have got its name without a change of the axis.
    if (this.options.label) this.#plot.redraw(false, true);
    this.root.dataset.painted = String(Number(this.root.dataset.painted ?? 0) + 1);
  }

  /** Forget where the reader zoomed in. */
  reset() {
    this.#zoomed = false;
    this.changed();
  }

  destroy() {
    super.destroy();
    this.#plot?.destroy();
  }

  #make(width, columns) {
    const { options } = this;
    const colour = (name) => theme()[name] || name;
    const axis = { stroke: () => colour("soft"), font: "11px system-ui, sans-serif", grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, gap: 4 };
    const own = (range, fallback) => (u, low, high) => (this.#zoomed ? fallback(low, high) : (range?.(u) ?? fallback(low, high)));
    const context = (draw) => (u) => {
      u.ctx.save();
      u.ctx.beginPath();
      u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
      u.ctx.clip();
      draw(u, u.ctx, theme());
      u.ctx.restore();
    };
    const as = (low, high) => (low === null || low === undefined ? [0, 1] : low === high ? [low - 0.5, high + 0.5] : [low, high]);
    const padded = (low, high) => {
      if (low === null || low === undefined) return [0, 1];
      const room = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.06;
      return [low - room, high + room];
    };
    const plot = new uPlot({
      width,
      height: options.height,
      legend: { show: false },
      pxAlign: 0,
      padding: [6, 14, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, uni: 8 }, ...(options.sync ? { sync: { key: options.sync } } : {}) },
      scales: { x: { time: false, range: own(options.x, as) }, y: { range: own(options.y, padded) } },
      axes: [
        { ...axis, size: 22, space: 60, values: (u, ticks) => ticks.map((tick) => (options.label ? options.label(tick) : Number.isInteger(tick) ? String(tick) : "")) },
        { ...axis, size: options.yAxis === false ? 6 : 46, space: 28, values: options.yAxis === false ? (u, ticks) => ticks.map(() => "") : (u, ticks) => ticks.map((tick) => String(Number(tick.toPrecision(4)))) },
      ],
      series: [{}, ...options.lines.map((line, k) => ({
        label: line.label,
        show: !this.hidden.has(k),
        stroke: () => colour(line.colour),
        fill: line.fill ? () => colour(line.fill) : undefined,
        width: line.width ?? 1,
        dash: line.dash?.length ? line.dash : undefined,
        points: line.points === 0 ? { show: false } : line.points ? { show: true, size: line.points, width: 0, fill: () => colour(line.colour) } : { show: (u, k, from, to) => !line.stepped && to - from < 30, size: 4, width: 0, fill: () => colour(line.colour) },
        paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
        spanGaps: line.joined ?? false,
      }))],
      bands: options.bands,
      hooks: {
        drawClear: options.behind ? [context(options.behind)] : [],
        draw: options.before ? [context(options.before)] : [],
        setSelect: [(u) => { this.#zoomed = u.select.width > 0; }],
        setCursor: [(u) => options.read?.(u.cursor.idx, u)],
      },
    }, columns, this.root);
    plot.over.addEventListener("dblclick", () => this.reset());
    plot.over.setAttribute("role", "img");
    plot.over.setAttribute("aria-label", options.title ?? "plot");
    return plot;
  }
}

/** How an axis of steps grows: to the first of 20, 40, 80, ... that is enough, so that it rarely moves, up to `total`. */
export function grown(count, total, running, least = 20) {
  if (!running) return Math.max(count, 1);
  let end = least;
  while (end < count) end *= 2;
  return Math.max(count, total ? Math.min(end, total) : end, 1);
}

/** A figure: its name, what is printed beside it, and room for a plot. */
export function figure(name, testid) {
  const title = element("b", { textContent: name });
  const facts = element("span", { class: "facts-line", "data-testid": `${testid}-facts` });
  const room = element("div", { class: "plot", "data-testid": `${testid}-plot` });
  return { root: element("figure", { "data-testid": testid }, element("figcaption", {}, title, facts), room), facts, room };
}
