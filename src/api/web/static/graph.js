// The picture of a graph: SVG elements with their state in `data-state`, so that styles, tests and screen readers see it.

import { layout } from "./layout.js";
import { h, replace, s, seconds, sign, visible } from "./dom.js";

const MARGIN = 18;
const SCALES = [0.35, 0.5, 0.7, 0.85, 1, 1.25];
const NARROW = 620;
const BRUSH = document.createElement("canvas").getContext("2d");
export const font = (weight, size) => `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;

// As much of a text as fits into so many pixels.
export function fit(text, width, style) {
  BRUSH.font = style;
  if (BRUSH.measureText(text).width <= width) return text;
  const letters = [...text];
  let [least, most] = [0, letters.length];
  while (least < most) {
    const middle = (least + most + 1) >> 1;
    if (BRUSH.measureText(`${letters.slice(0, middle).join("")}…`).width <= width) least = middle;
    else most = middle - 1;
  }
  return `${letters.slice(0, least).join("").trimEnd()}…`;
}

// A name in one line or two, broken between words where there is a place for it.
function twoLines(text, width, style) {
  const words = text.split(/\s+/);
  BRUSH.font = style;
  let first = words[0] ?? "", place = 1;
  while (place < words.length && BRUSH.measureText(`${first} ${words[place]}`).width <= width) { first += ` ${words[place]}`; place += 1; }
  return place >= words.length ? [fit(first, width, style)] : [fit(first, width, style), fit(words.slice(place).join(" "), width, style)];
}

export class Graph {
  constructor(definition, { onChoose = () => {}, states = {} } = {}) {
    this.definition = definition;
    this.onChoose = onChoose;
    this.states = states;
    this.open = new Set();
    this.scale = null;
    this.chosen = null;
    this.box = h("div", { class: "graph-box", role: "group", "aria-label": `Graph of ${definition.nodes.length} nodes`, tabindex: "0" });
    this.tools = h("span", { class: "end" },
      h("button", { type: "button", class: "icon", title: "Smaller", "aria-label": "Draw the graph smaller", onclick: () => this.zoom(-1) }, "−"),
      h("button", { type: "button", class: "icon", title: "Larger", "aria-label": "Draw the graph larger", onclick: () => this.zoom(1) }, "+"),
      h("button", { type: "button", title: "Fit", onclick: () => { this.scale = null; this.size(); } }, "Fit"));
    requestAnimationFrame(() => this.draw());
    this.watcher = new ResizeObserver(() => { if ((this.box.clientWidth < NARROW) !== this.plan?.vertical) this.draw(); else this.size(); });
    this.watcher.observe(this.box);
  }

  draw() {
    if (!this.box.clientWidth) return;
    this.plan = layout(this.definition, { vertical: this.box.clientWidth < NARROW, open: this.open });
    this.elements = new Map();
    this.lines = [];
    const edges = this.plan.lines.map((line) => this.edge(line));
    const nodes = this.plan.boxes.map((box) => (box.fold ? this.fold(box) : this.node(box)));
    this.svg = s("svg", { role: "group", "aria-label": "Nodes in the order of their levels" }, s("g", null, edges), s("g", null, nodes));
    replace(this.box, this.svg);
    this.size();
    this.paint();
    if (this.sought) this.reveal(this.sought);
    this.sought = null;
  }

  size() {
    if (!this.plan) return;
    const [width, height] = [this.plan.width + 2 * MARGIN, this.plan.height + 2 * MARGIN];
    const fitting = Math.min(1, Math.max(0.68, this.box.clientWidth / width));
    const scale = this.scale ?? fitting;
    this.svg.setAttribute("viewBox", `${-MARGIN} ${-MARGIN} ${width} ${height}`);
    this.svg.setAttribute("width", Math.round(width * scale));
    this.svg.setAttribute("height", Math.round(height * scale));
    this.now = scale;
  }

  zoom(step) {
    const near = SCALES.findIndex((scale) => scale >= (this.now ?? 1) - 0.01);
    this.scale = SCALES[Math.min(SCALES.length - 1, Math.max(0, (near < 0 ? SCALES.length - 1 : near) + step))];
    this.size();
  }

  node(box) {
    const label = visible(box.node.label || box.id);
    const names = twoLines(label, box.width - 36, font(600, 12.5));
    const parts = {
      more: s("text", { class: "more", x: 13, y: names.length > 1 ? 48 : 41 }), sign: s("text", { class: "sign", x: box.width - 9, y: 20 }),
      title: s("title"), gone: s("rect", { class: "gone", x: 4, y: box.height - 4, height: 3, width: 0 }),
    };
    const element = s("g", {
      class: "node", transform: `translate(${box.x} ${box.y})`, role: "button", tabindex: "0", "aria-pressed": "false", "data-node": box.id,
      onclick: () => this.choose(box.id), onkeydown: (event) => this.key(event, box.id),
    }, parts.title, s("rect", { class: "box", width: box.width, height: box.height, rx: 7 }),
    s("rect", { class: "mark", x: 0, y: 10, width: 3.5, height: box.height - 20, rx: 1.75 }),
    names.map((name, line) => [s("text", { class: "name", x: 13, y: (names.length > 1 ? 19 : 25) + line * 15 }, name), " "]), parts.more, " ", parts.sign, parts.gone);
    this.elements.set(box.id, { element, box, label, shown: names.join(" "), ...parts });
    return element;
  }

  fold(box) {
    const isOpen = box.unfold !== undefined;
    const level = box.level;
    const turn = () => { if (isOpen) this.open.delete(level); else this.open.add(level); this.draw(); };
    const text = isOpen ? "Fold this level" : `${box.fold.length} more nodes`;
    const more = s("text", { class: "more", x: 14, y: 42 }, isOpen ? "" : "open this level");
    const element = s("g", {
      class: "node fold", transform: `translate(${box.x} ${box.y})`, role: "button", tabindex: "0", "aria-expanded": String(isOpen), "aria-label": text,
      onclick: turn, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); turn(); } },
    }, s("rect", { class: "box", width: box.width, height: box.height, rx: 7 }), s("text", { class: "name", x: 14, y: 25 }, text), " ", more);
    if (!isOpen) this.elements.set(`fold ${level}`, { element, box, more, text, ids: box.fold });
    return element;
  }

  edge(line) {
    const path = s("path", { class: "edge", d: this.curve(line.points) });
    const entry = { line, path };
    this.lines.push(entry);
    if (!line.condition) return path;
    const [first, second] = line.points;
    const at = this.plan.vertical ? { x: first.x + (second.x - first.x) * 0.5, y: first.y + 20 } : { x: first.x + 26, y: first.y + (second.y - first.y) * 0.5 };
    const text = [...visible(line.condition)].slice(0, 12).join("");
    const half = text.length * 3.4 + 4;
    return s("g", null, path, s("rect", { class: "edge-label-ground", x: at.x - half, y: at.y - 8, width: 2 * half, height: 15, rx: 3 }),
      s("text", { class: "edge-label", x: at.x, y: at.y + 4, "text-anchor": "middle" }, text));
  }

  curve(points) {
    const vertical = this.plan.vertical;
    let d = `M${points[0].x} ${points[0].y}`;
    for (let step = 1; step < points.length; step += 1) {
      const [a, b] = [points[step - 1], points[step]];
      const half = vertical ? (b.y - a.y) / 2 : (b.x - a.x) / 2;
      if (vertical ? a.x === b.x : a.y === b.y) d += ` L${b.x} ${b.y}`;
      else if (vertical) d += ` C${a.x} ${a.y + half} ${b.x} ${b.y - half} ${b.x} ${b.y}`;
      else d += ` C${a.x + half} ${a.y} ${b.x - half} ${b.y} ${b.x} ${b.y}`;
    }
    return d;
  }

  // States: by node, { state, attempt, time, progress, message, branch }.
  paint(states = this.states) {
    this.states = states;
    if (!this.elements) return;
    for (const [id, parts] of this.elements) (parts.ids ? this.paintFold : this.paintNode).call(this, parts, id);
    for (const { line, path } of this.lines) path.setAttribute("data-state", this.edgeState(line.edges));
  }

  paintNode(parts, id) {
    const told = this.states[id] ?? { state: "pending" };
    const facts = [told.state !== "pending" && told.time !== undefined ? seconds(told.time) : "", told.attempt > 1 ? `attempt ${told.attempt}` : ""];
    const more = told.message || [parts.box.node.type, ...facts.filter(Boolean)].join(" · ");
    parts.element.dataset.state = told.state;
    parts.more.textContent = fit(visible(more), parts.box.width - 22, font(400, 11));
    parts.sign.textContent = told.state === "pending" ? "" : sign(told.state);
    parts.gone.setAttribute("width", told.state === "running" ? Math.round((told.progress ?? 0) * (parts.box.width - 8)) : 0);
    const state = told.state === "pending" ? "" : told.state;
    const isCut = parts.shown !== parts.label || parts.more.textContent !== visible(more);
    parts.element.setAttribute("aria-label", [parts.shown, parts.more.textContent, state, isCut ? `${parts.label}, ${more}` : ""].filter(Boolean).join(", ")); // begins as it looks: who speaks says what they see
    parts.element.setAttribute("aria-pressed", String(this.chosen === id));
    replace(parts.title, [parts.label, parts.box.node.type, state, ...facts, told.message].filter(Boolean).join(", "));
  }

  paintFold(parts) {
    const counts = {};
    for (const id of parts.ids) counts[this.states[id]?.state ?? "pending"] = (counts[this.states[id]?.state ?? "pending"] ?? 0) + 1;
    const told = Object.entries(counts).filter(([state]) => state !== "pending").map(([state, count]) => `${sign(state)} ${count}`);
    parts.more.textContent = told.length ? told.join("  ") : "open this level";
    parts.element.setAttribute("aria-label", `${parts.text}, ${parts.more.textContent}`);
    const worst = ["failed", "running", "retry", "waiting", "success"].find((state) => counts[state]);
    parts.element.dataset.state = worst ?? "pending";
  }

  edgeState(edges) {
    const from = edges.map((edge) => this.states[edge.from]?.state ?? "pending");
    const isTaken = edges.some((edge, place) => from[place] === "success" && this.isLive(edge) && (this.states[edge.to]?.state ?? "pending") !== "skipped");
    if (isTaken) return "taken";
    return edges.every((edge, place) => from[place] === "skipped" || (from[place] === "success" && !this.isLive(edge))) ? "dead" : "open";
  }

  isLive(edge) {
    const branch = this.states[edge.from]?.path;
    if (branch === undefined || branch === null) return true;
    return branch === "default" ? !edge.condition || edge.condition === "default" : edge.condition === branch;
  }

  choose(id) {
    this.chosen = id;
    if (this.elements) this.reveal(id);
    else this.sought = id;
    this.paint();
    this.onChoose(id);
  }

  // Brings a node into sight that was chosen elsewhere: in a list, or because it has failed.
  reveal(id) {
    const fold = [...this.elements.values()].find((parts) => parts.ids?.includes(id));
    if (fold) {
      this.open.add(fold.box.level);
      this.draw();
    }
    const box = this.elements.get(id)?.box;
    if (!box) return;
    const look = (start, size, from, seen) => {
      const [near, far] = [start, start + size].map((place) => (place + MARGIN) * this.now);
      return near < from || far > from + seen ? (near + far - seen) / 2 : from;
    };
    this.box.scrollLeft = look(box.x, box.width, this.box.scrollLeft, this.box.clientWidth);
    this.box.scrollTop = look(box.y, box.height, this.box.scrollTop, this.box.clientHeight);
  }

  key(event, id) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(id);
      return;
    }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const ids = [...this.elements.keys()];
    const next = this.elements.get(ids[ids.indexOf(id) + step]);
    next?.element.focus();
    next?.element.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}
