// Horizontal bars in a table: a name, a bar, and numbers beside it.

import { element, say } from "./dom.js";

/** Bars under `heads`, those of the name, the bar and the cells; `set(rows, reference)` shows rows of
 * {name, share, low, high, cells}, `low` to `high` as a thin line, and a dashed line at `reference`. */
export function bars(testid, heads) {
  const body = element("tbody");
  const root = element("table", { class: "bars", "data-testid": testid },
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col", textContent: head })))), body);
  const percent = (share) => `${Math.max(0, Math.min(100, 100 * share))}%`;

  function make() {
    const marks = ["fill", "range", "reference"].map((name) => element("span", { class: name }));
    const numbers = heads.slice(2).map(() => element("td"));
    const row = element("tr", {}, element("td", { class: "bar-name" }), element("td", { class: "bar-room" }, element("div", { class: "track", "aria-hidden": "true" }, ...marks)), ...numbers);
    return Object.assign(row, { marks, numbers });
  }

  return {
    root,
    set(rows, reference) {
      const most = Math.max(1e-9, ...rows.map((row) => Math.max(row.share, row.high ?? 0)));
      rows.forEach((row, place) => {
        if (!body.children[place]) body.append(make());
        const shown = body.children[place];
        const [fill, range, line] = shown.marks;
        say(shown.firstChild, row.name);
        shown.firstChild.title = row.name;
        shown.classList.toggle("below", reference !== undefined && row.share < reference);
        fill.style.width = percent(row.share / most);
        range.hidden = row.low === undefined;
        range.style.left = percent(row.low / most);
        range.style.width = percent((row.high - row.low) / most);
        line.hidden = reference === undefined || reference > most;
        line.style.left = percent(reference / most);
        row.cells.forEach((text, cell) => say(shown.numbers[cell], text));
      });
      while (body.children.length > rows.length) body.lastChild.remove();
      root.hidden = !rows.length;
    },
  };
}
