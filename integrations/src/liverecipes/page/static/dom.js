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
