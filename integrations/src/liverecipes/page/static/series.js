// A history of numbers in bounded memory, as page/series.py keeps it: extremes of every stretch, and the newest values.

export const BUCKETS = 1000;
export const TAIL = 500;

const missing = (value) => value === null || value === undefined || !Number.isFinite(value);
const least = (a, b) => (missing(a) ? (missing(b) ? null : b) : missing(b) ? a : Math.min(a, b));
const greatest = (a, b) => (missing(a) ? (missing(b) ? null : b) : missing(b) ? a : Math.max(a, b));

export class Series {
  /** Of what the server sent in full, or empty. */
  constructor(full = {}) {
    this.count = full.count ?? 0;
    this.stride = full.stride ?? 1;
    this.low = full.low ?? [];
    this.high = full.high ?? [];
    this.tail = full.tail ?? [];
  }

  get tailFirst() {
    return this.count - this.tail.length;
  }

  /** Take the values of the steps from `first` on: those that came before are not taken again, a hole is missing. */
  add(values, first = this.count) {
    for (let step = this.count; step < first; step++) this.#take(null);
    for (let at = this.count - first; at < values.length; at++) this.#take(values[at]);
    // Cut rarely: to cut an array's front costs its length.
    if (this.tail.length > TAIL) this.tail = this.tail.slice(-TAIL);
  }

  #take(value) {
    while (Math.ceil((this.count + 1) / this.stride) > BUCKETS) {
      this.low = coarser(this.low, 2, least);
      this.high = coarser(this.high, 2, greatest);
      this.stride *= 2;
    }
    const bucket = Math.floor(this.count / this.stride);
    this.low[bucket] = least(this.low[bucket], value);
    this.high[bucket] = greatest(this.high[bucket], value);
    this.tail.push(missing(value) ? null : value);
    this.count += 1;
  }

  /** The value at a step, as far as it is known exactly. */
  at(step) {
    if (step >= this.tailFirst) return this.tail[step - this.tailFirst] ?? null;
    return this.stride === 1 ? this.low[step] : null;
  }

  /** Whether every value is held: the extremes of two steps are the two. */
  get complete() {
    return this.stride <= 2;
  }

  /** All values, in no order, where they are held; else the newest. */
  values() {
    let held = this.tail;
    if (this.complete) held = this.stride === 1 ? this.low : [...this.low, ...this.high.slice(0, Math.floor(this.count / 2))];
    return held.filter((value) => value !== null);
  }
}

function coarser(extremes, factor, extreme) {
  if (factor === 1) return extremes;
  const found = [];
  for (let start = 0; start < extremes.length; start += factor) {
    let one = extremes[start];
    for (let at = start + 1; at < Math.min(start + factor, extremes.length); at++) one = extreme(one, extremes[at]);
    found.push(one);
  }
  return found;
}

/**
 * The columns of a plot with a line each of several series (undefined: no line yet), on one grid of steps: x first.
 * Where a stretch is longer than one step, it has two points: its least and its greatest value, or twice that of the
 * two which `edges` names for the line, "low" or "high".
 */
export function overview(lines, offset = 0, edges = []) {
  const stride = Math.max(1, ...lines.map((line) => line?.stride ?? 1));
  const length = Math.ceil(Math.max(0, ...lines.map((line) => line?.count ?? 0)) / stride);
  const x = [];
  for (let at = 0; at < length; at++) {
    if (stride === 1) x.push(offset + at);
    else x.push(offset + (at + 0.25) * stride, offset + (at + 0.75) * stride);
  }
  const columns = lines.map((line, k) => {
    if (!line) return new Array(x.length).fill(null);
    const low = coarser(line.low, stride / line.stride, least);
    const y = stride === 1 ? [...low] : [];
    if (stride > 1) {
      const high = coarser(line.high, stride / line.stride, greatest);
      const [first, second] = [edges[k] === "high" ? high : low, edges[k] === "low" ? low : high];
      for (let at = 0; at < low.length; at++) y.push(first[at], second[at]);
    }
    while (y.length < x.length) y.push(null);
    return y;
  });
  return [x, ...columns];
}

/** The columns of the newest steps, exactly. */
export function newest(lines, offset = 0) {
  const end = Math.max(0, ...lines.map((line) => line?.count ?? 0));
  const x = [];
  for (let step = Math.max(0, end - TAIL); step < end; step++) x.push(step);
  return [x.map((step) => step + offset), ...lines.map((line) => x.map((step) => (line && step < line.count ? line.at(step) : null)))];
}

/** Take what came of several series, whole or their newest values, into a map by `name` and `chain`; tell the names. */
export function take(series, came, place = (each) => `${each.name}\n${each.chain}`) {
  const touched = new Set();
  for (const each of came) {
    const where = place(each);
    if ("values" in each) {
      if (!series.has(where)) series.set(where, new Series());
      series.get(where).add(each.values, each.from);
    } else {
      series.set(where, new Series(each));
    }
    touched.add(each.name);
  }
  return touched;
}

/** Two sets of columns, one after the other. */
export function chained(one, other) {
  return one.map((column, at) => column.concat(other[at]));
}
