// What ran when: a bar for each attempt. Bars above one another in time ran side by side; pale parts are waits.

import { h, replace, s, seconds, visible } from "./dom.js";
import { fit, font } from "./graph.js";

const ROW = 22;
const MOST = 150;

export class Timeline {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.isWhole = false;
    this.element = h("div", { class: "timeline", tabindex: "0", role: "group", "aria-label": "Timeline of the attempts" });
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  // Spans: { node, label, attempt, state, start, end, wakes } in milliseconds.
  show(spans) {
    this.spans = spans;
    this.draw();
  }

  draw() {
    const width = this.element.clientWidth;
    if (!this.spans || !width) return;
    if (!this.spans.length) { replace(this.element, h("p", { class: "hint" }, "Nothing has run yet.")); return; }
    const first = Math.min(...this.spans.map((span) => span.start));
    const last = Math.max(...this.spans.map((span) => span.until ?? span.end), first + 1);
    const left = Math.min(190, width * 0.34);
    const right = 70;
    const x = (at) => left + ((at - first) / (last - first)) * (width - left - right);
    const shown = this.isWhole ? this.spans : this.spans.slice(0, MOST);
    const height = shown.length * ROW + 26;
    const look = { x, width, room: left - 10, style: font(400, 12) };
    const ticks = (last - first < 4 || width < 400 ? [0, 1] : width < 560 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]).map((part) => first + part * (last - first));
    replace(this.element, s("svg", { width, height, role: "list", "aria-label": "Attempts in the order of their start" },
      ticks.map((at) => s("g", null, s("line", { class: "grid", x1: x(at), x2: x(at), y1: 18, y2: height }),
        s("text", { class: "tick", x: x(at), y: 12, "text-anchor": at === first ? "start" : at === last ? "end" : "middle" }, at === first ? "0" : seconds((at - first) / 1000)))),
      shown.map((span, place) => this.row(span, 22 + place * ROW, look))),
    shown.length < this.spans.length ? h("button", { type: "button", class: "plain", onclick: () => { this.isWhole = true; this.draw(); } }, `Show all ${this.spans.length}`) : null);
  }

  row(span, y, { x, width, room, style }) {
    const name = fit(visible(span.label), room, style);
    const took = seconds(((span.until ?? span.end) - span.start) / 1000);
    const words = `${span.label}, ${span.state}, ${took}${span.attempt > 1 ? `, attempt ${span.attempt}` : ""}`;
    const choose = () => this.onChoose(span.node);
    const end = Math.max(x(span.end), x(span.start) + 2);
    return s("g", { class: "row", role: "listitem", "aria-label": words, onclick: choose },
      s("title", null, words), s("rect", { class: "under", x: 0, y: y - 2, width, height: ROW }),
      s("text", { class: "name", x: 0, y: y + 12 }, name),
      span.until ? s("rect", { class: "span wait", "data-state": span.state, x: end, y: y + 3, width: Math.max(0, x(span.until) - end), height: 11, rx: 2 }) : null,
      s("rect", { class: "span", "data-state": span.state, x: x(span.start), y: y + 3, width: end - x(span.start), height: 11, rx: 2 }),
      s("text", { class: "tick", x: Math.max(x(span.until ?? span.end), end) + 6, y: y + 12 }, took));
  }
}
