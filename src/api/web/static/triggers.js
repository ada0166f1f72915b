// Triggers: the measured reasons to switch Celery on, and what they come to.

import { get } from "./api.js";
import { badge, body, empty, h, panel, s } from "./dom.js";

const TONES = { met: "failed", triggered: "failed", critical: "failed", near: "waiting", warning: "waiting", ok: "completed", clear: "completed" };

export async function triggers() {
  const title = h("div", { class: "head" }, h("h1", { class: "grow" }, "Triggers"));
  let found;
  try { found = await get("/triggers"); } catch (error) {
    if (error.status !== 404) throw error;
    return { content: [title, h("section", { class: "panel" }, empty("This server measures no triggers."))] };
  }
  const checks = found.checks ?? found.triggers ?? [];
  return { content: [title, verdictOf(found), h("div", { class: "checks" }, checks.map(check)), tree(found, checks)] };
}

function verdictOf(found) {
  const text = found.verdict?.text ?? found.verdict ?? found.recommendation ?? "";
  return text ? h("div", { class: "note" }, h("strong", null, typeof text === "string" ? text : JSON.stringify(text))) : [];
}

function check(each) {
  const state = String(each.status ?? (each.met ? "met" : "ok"));
  return h("section", { class: "panel check" }, h("div", { class: "head" }, h("h2", { class: "grow" }, each.title ?? each.name), badge(TONES[state] ?? "queued", state)),
    h("p", { class: "big" }, shown(each.value), h("small", null, ` ${each.unit ?? ""}`)), h("p", { class: "hint" }, `Threshold ${shown(each.threshold)} ${each.unit ?? ""}`), spark(each.trend ?? each.history ?? [], each.threshold),
    each.detail ?? each.explanation ? h("p", { class: "hint" }, each.detail ?? each.explanation) : null);
}

const shown = (value) => (typeof value === "number" ? Number(value.toPrecision(3)).toLocaleString() : value === null || value === undefined ? "—" : String(value));

function spark(points, threshold) {
  const values = points.map((point) => (typeof point === "number" ? point : point?.value)).filter((value) => typeof value === "number");
  if (values.length < 2) return null;
  const most = Math.max(...values, typeof threshold === "number" ? threshold : 0) || 1;
  const [width, height] = [220, 36];
  const y = (value) => height - 2 - (value / most) * (height - 4);
  return s("svg", { width, height, role: "img", "aria-label": `Trend: ${values.map(shown).join(", ")}` },
    typeof threshold === "number" ? s("line", { class: "spark-limit", x1: 0, x2: width, y1: y(threshold), y2: y(threshold) }) : null,
    s("polyline", { class: "spark", points: values.map((value, place) => `${(place / (values.length - 1)) * width},${y(value)}`).join(" ") }));
}

function tree(found, checks) {
  const steps = found.decision_tree ?? found.tree;
  if (Array.isArray(steps)) return panel("Decision tree", body(h("ol", { class: "tree" }, steps.map((step) => h("li", null, badge(step.answer === true || step.met ? "failed" : "completed", String(step.answer ?? (step.met ? "yes" : "no"))), h("span", null, step.question ?? step.text ?? step.title))))));
  return checks.length ? panel("Decision tree", body(h("ol", { class: "tree" }, checks.map((each) => h("li", null, badge(each.met ? "failed" : "completed", each.met ? "yes" : "no"), h("span", null, `Is ${each.title ?? each.name} over ${shown(each.threshold)} ${each.unit ?? ""}?`)))))) : [];
}
