// Elements, and how values look. Whatever comes from outside becomes text here, never markup.

const SVG = "http://www.w3.org/2000/svg";

// Characters that turn the reading direction of what follows: shown by their names, so that no text can pose as another.
export const visible = (text) => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, (sign) => `⟦U+${sign.codePointAt(0).toString(16).toUpperCase()}⟧`);

function make(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" && "value" in element) element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...shown.map((child) => (child instanceof Node ? child : visible(String(child)))));
  return element;
}

export const h = (tag, attributes, ...children) => make(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => make(document.createElementNS(SVG, tag), attributes, children);
export const replace = (element, ...children) => { element.replaceChildren(); make(element, null, children); };

const LOOKS = {
  completed: ["green", "✓"], success: ["green", "✓"], failed: ["red", "✕"], running: ["blue", "▸"], waiting: ["amber", "…"],
  retry: ["amber", "↻"], paused: ["violet", "‖"], queued: ["grey", "○"], stopped: ["grey", "■"], skipped: ["grey", "–"], pending: ["grey", "○"],
};

export const sign = (status) => (LOOKS[status] ?? ["grey", "○"])[1];

export function badge(status, text) {
  const [tone, glyph] = LOOKS[status] ?? ["grey", "○"];
  return h("span", { class: status === "running" ? "badge pulse" : "badge", "data-tone": tone, "data-status": status },
    h("i", { "aria-hidden": "true" }, glyph), text ?? status);
}

export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 0.001) return "<1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

export const clock = (moment) => (moment ? CLOCK.format(new Date(moment)) : "");

export function when(moment) {
  if (!moment) return "";
  const date = new Date(moment);
  const text = date.toDateString() === new Date().toDateString() ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`;
  return h("time", { datetime: moment, title: moment }, text);
}

export const pretty = (value) => JSON.stringify(value, null, 2) ?? "";

export function json(value) {
  return h("pre", { class: "json mono", tabindex: "0" }, pretty(value));
}

export function panel(title, ...children) {
  const heading = typeof title === "string" ? h("h2", null, title) : title;
  return h("section", { class: "panel" }, h("header", null, heading), ...children);
}

export const body = (...children) => h("div", { class: "body" }, ...children);

export function empty(title, ...text) {
  return h("div", { class: "empty" }, typeof title === "string" ? h("strong", null, title) : title, ...text);
}

const lineOf = (columns, cells) => h("tr", null, cells.map((cell, place) => h("td", { class: columns[place][1] }, cell)));

export function table(columns, rows) {
  const head = columns.map(([name, kind]) => h("th", { scope: "col", class: kind }, name));
  return h("div", { class: "scroll", tabindex: "0" }, h("table", null, h("thead", null, h("tr", null, head)), h("tbody", null, rows.map((cells) => lineOf(columns, cells)))));
}

// What stays is not touched: somebody may be writing in it.
export function arrange(area, wanted) {
  const kept = new Set(wanted);
  for (const child of [...area.children]) if (!kept.has(child)) child.remove();
  wanted.forEach((child, place) => { if (area.children[place] !== child) area.insertBefore(child, area.children[place] ?? null); });
}

// A table that is shown again and again: what has not changed in the row of a key stays, for somebody may be at it.
export function lasting(columns) {
  const element = table(columns, []);
  const lines = new Map();
  function show(rows) { // each a key and its cells
    const now = rows.map(([key, cells]) => {
      const made = lineOf(columns, cells);
      const old = lines.get(key) ?? made;
      [...made.children].forEach((cell, place) => { if (!old.children[place].isEqualNode(cell)) old.children[place].replaceWith(cell); });
      return [key, old];
    });
    lines.clear();
    for (const [key, line] of now) lines.set(key, line);
    arrange(element.querySelector("tbody"), [...lines.values()]);
  }
  return { element, show };
}

const LONGEST_PRESS = 2000; // milliseconds
let press = Promise.resolve();
document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("a, button")) return; // whoever opens a list to choose from does not let go here
  press = new Promise((resolve) => {
    for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => setTimeout(resolve), { once: true });
    setTimeout(resolve, LONGEST_PRESS);
  });
});
// When nobody is in the middle of a press: what moves from under the pointer before it is let go would not be pressed.
export const atRest = () => press;

export function figures(pairs) {
  return h("dl", { class: "figures" }, pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

// The same figures, looked at again: what has not changed stays, for somebody may be about to press it.
export function refresh(box, shown) {
  const [old, now] = [box.firstElementChild, shown].map((list) => [...list?.children ?? []]);
  const names = (parts) => parts.map((part) => part.firstElementChild.textContent).join();
  if (names(old) !== names(now)) replace(box, shown);
  else old.forEach((part, place) => { if (part.textContent !== now[place].textContent) part.replaceWith(now[place]); });
}

export function toast(text) {
  const line = h("p", null, text);
  document.getElementById("toast").append(line);
  setTimeout(() => line.remove(), 6000);
}

// Tabs that a keyboard can use: arrows move, the rest of the page follows.
export function tabs(items, chosen, onChange) {
  const strip = h("div", { class: "tabs", role: "tablist" });
  const area = h("div", { role: "tabpanel", tabindex: "-1" });
  const buttons = items.map(([key, name], place) => h("button", {
    role: "tab", type: "button", "data-tab": key, onclick: () => choose(place), onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) choose((place + step + items.length) % items.length, true);
    },
  }, name));
  function choose(place, focus) {
    buttons.forEach((button, index) => {
      button.setAttribute("aria-selected", String(index === place));
      button.tabIndex = index === place ? 0 : -1;
    });
    area.setAttribute("aria-label", items[place][1]);
    if (focus) buttons[place].focus();
    replace(area, items[place][2]());
    onChange?.(items[place][0]);
  }
  strip.append(...buttons);
  choose(Math.max(0, items.findIndex(([key]) => key === chosen)));
  return [strip, area];
}
