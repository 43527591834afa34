// Building and changing the document without markup: text is only ever text.

/** A new element with properties (`class`, `data-*`, `aria-*` as attributes) and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name.includes("-") || name === "for" || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Set a node's text, if it is another. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A number with so many significant digits, `–` for none. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(Math.max(0, digits - 2));
  return String(Number(value.toPrecision(digits)));
}

/** A count with thin spaces between thousands. */
export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

/** Seconds as a person says them. */
export function duration(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.round(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.round(seconds))} s`;
}

/** A group of buttons of which one is pressed. */
export function choice(label, options, chosen, change) {
  const group = element("div", { class: "choice", role: "group", "aria-label": label });
  const buttons = options.map(([value, text]) => {
    const button = element("button", { type: "button", textContent: text, "data-testid": `${label}-${value}` });
    button.setAttribute("aria-pressed", String(value === chosen));
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      change(value);
    });
    return button;
  });
  group.append(...buttons);
  return group;
}

/** Facts in large type: pairs of a name and a value, and whether it is a bad sign. */
export function tiles(root, pairs) {
  while (root.children.length > pairs.length) root.lastChild.remove();
  pairs.forEach(([name, value, bad], place) => {
    if (!root.children[place]) root.append(element("div", {}, element("dt"), element("dd")));
    const tile = root.children[place];
    say(tile.children[0], name);
    say(tile.children[1], value);
    tile.dataset.testid = `fact-${name.replace(/\W+/g, "-")}`;
    tile.classList.toggle("bad", Boolean(bad));
  });
}

/** The choice of series: a button, and a panel that it opens. */
export function picker(change, noun = "variables") {
  let names = [];
  let shown = [];
  const button = element("button", { type: "button", "aria-expanded": "false", "data-testid": "pick" });
  const filter = element("input", { type: "search", placeholder: `find among the ${noun}`, "aria-label": "filter", "data-testid": "pick-filter" });
  const options = element("div", { class: "options", "data-testid": "pick-options" });
  const panel = element("div", { class: "picker", hidden: true }, filter, options);
  button.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
    fill();
  });
  filter.addEventListener("input", fill);

  function fill() {
    if (panel.hidden) return;
    const wanted = filter.value.toLowerCase();
    options.replaceChildren(...names.filter((name) => name.toLowerCase().includes(wanted)).map((name) => {
      const box = element("input", { type: "checkbox", checked: shown.includes(name) });
      box.addEventListener("change", () => {
        const chosen = names.filter((each) => (each === name ? box.checked : shown.includes(each)));
        if (!chosen.length) box.checked = true;
        else change((shown = chosen));
      });
      return element("label", {}, box, element("span", { textContent: name }));
    }));
  }

  return {
    root: button,
    panel,
    set(all, some) {
      const changed = String(all) !== String(names);
      [names, shown] = [all, some];
      say(button, `${noun}: ${some.length} of ${all.length}`);
      if (changed) fill();
    },
  };
}
