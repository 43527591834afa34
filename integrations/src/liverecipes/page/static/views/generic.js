// A run of any engine: its parts, every number that its messages hold, and the last message of each part.

import { count, element, number, picker, say, tiles } from "../dom.js";
import { figure, look, Plot, sample } from "../plot.js";
import { overview, Series } from "../series.js";

export default function mount(root, page) {
  let state = null;
  let series = new Map(); // name -> part -> Series
  let figures = new Map();
  let last = {};

  const body = element("tbody");
  const table = element("table", { "data-testid": "parts" },
    element("thead", {}, element("tr", {}, ...["part", "messages", "type of the last"].map((title) => element("th", { scope: "col", textContent: title })))), body);
  const plots = element("div", { class: "grid small", "data-testid": "numbers" });
  const numbers = picker((names) => page.show(names), "numbers");
  const texts = element("div", { class: "texts", "data-testid": "last" });
  const none = element("p", { class: "detail", textContent: "Its messages hold no numbers that grow so far." });
  const once = element("dl", { class: "facts once", "data-testid": "once" });
  root.append(
    element("section", {}, element("h2", { textContent: "Parts" }), element("div", { class: "table" }, table)),
    element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "Numbers" }), numbers.root), numbers.panel, none, plots, once),
    element("section", {}, element("h2", { textContent: "Last messages" }), texts),
  );

  function build() {
    for (const each of figures.values()) each.plot.destroy();
    plots.replaceChildren();
    figures = new Map(state.shown.map((name) => {
      const shown = figure(name, "number");
      shown.root.dataset.name = name;
      plots.append(shown.root);
      const parts = [...(series.get(name)?.keys() ?? [])];
      if (parts.length > 1) shown.root.append(element("p", { class: "legend" }, ...parts.map((part, k) => element("span", {}, sample(k), part))));
      const plot = new Plot(shown.room, {
        title: name,
        height: 120,
        lines: parts.map((part, k) => ({ label: part, ...look(k), width: 1.2 })),
        columns: () => overview(parts.map((part) => series.get(name).get(part))),
      });
      return [name, { shown, plot }];
    }));
    none.hidden = state.names.length > 0;
  }

  return {
    update(data) {
      state = data.full ? data : { ...state, ...data };
      const touched = new Set();
      if (data.full) series = new Map();
      for (const each of data.series) {
        if (!series.has(each.name)) series.set(each.name, new Map());
        const parts = series.get(each.name);
        if ("values" in each) {
          if (!parts.has(each.chain)) parts.set(each.chain, new Series());
          parts.get(each.chain).add(each.values, each.from);
        } else {
          parts.set(each.chain, new Series(each));
        }
        touched.add(each.name);
      }
      if (data.full) {
        build();
        numbers.set(state.names, state.shown);
      }
      for (const name of touched) {
        const shown = figures.get(name);
        if (!shown) continue;
        shown.plot.changed();
        const held = [...series.get(name).values()];
        shown.shown.root.dataset.count = String(held.reduce((sum, each) => sum + each.count, 0));
        say(shown.shown.facts, held.length === 1 ? `now ${number(held[0].tail.at(-1))}` : `${held.length} parts`);
      }
      tiles(once, state.once.map(({ name, value }) => [name, number(value)]));
      once.hidden = !state.once.length;
      state.parts.forEach((part, place) => {
        if (!body.children[place]) body.append(element("tr", {}, element("td"), element("td"), element("td")));
        [part.part, count(part.count), part.type].forEach((text, cell) => say(body.children[place].children[cell], text));
      });
      while (body.children.length > state.parts.length) body.lastChild.remove();
      last = data.full ? data.last : { ...last, ...data.last };
      if (data.full) texts.replaceChildren();
      const held = new Map([...texts.children].map((each) => [each.dataset.part, each]));
      for (const [part, text] of Object.entries(data.full ? last : data.last)) {
        if (!held.has(part)) {
          const made = element("details", { open: held.size < 6, "data-part": part }, element("summary", { textContent: part }), element("pre"));
          held.set(part, made);
          texts.append(made);
        }
        say(held.get(part).children[1], text);
      }
    },
    destroy() {
      for (const each of figures.values()) each.plot.destroy();
    },
  };
}
