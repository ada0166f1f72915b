// Triggers: the measured reasons to switch Celery on, and what they come to.

import { get } from "./api.js";
import { badge, body, empty, figures, h, panel, s, table, when } from "./dom.js";

const WORDS = {
  stay_inline: "Stay inline", mend_first: "Mend what fails first", switch_on: "Switch a worker on", keep_worker: "Keep the worker", may_switch_off: "The worker may be switched off",
};

export async function triggers() {
  const head = h("div", { class: "head" }, h("h1", { class: "grow" }, "Triggers"));
  let found, weeks;
  try { [found, weeks] = await Promise.all([get("/triggers"), get("/triggers/checks?limit=26")]); } catch (error) {
    if (error.status !== 404) throw error;
    return { content: [head, h("section", { class: "panel" }, empty("This server measures no triggers."))] };
  }
  head.append(h("span", { class: "hint" }, "the last 30 days, looked at ", when(found.checked_at)));
  const history = weeks.checks.map((each) => each.results).reverse();
  return { content: [head, verdict(found), h("div", { class: "checks" }, found.triggers.map((each) => check(each, history))), tree(found), forecasts(found)] };
}

function verdict(found) {
  const isCalm = found.recommendation === "stay_inline" || found.recommendation === "keep_worker";
  return panel(h("h2", null, WORDS[found.recommendation] ?? found.recommendation), body(
    h("p", null, found.verdict), figures([["Workers", badge(found.workers_are_on ? "completed" : "queued", found.workers_are_on ? "on" : "off")], ["Platform", found.platform],
      ["Answer", badge(isCalm ? "completed" : "waiting", isCalm ? "nothing to do" : "something to do")]]),
    h("p", { class: "hint" }, found.would_have_changed.sentence)));
}

function check(each, history) {
  const trend = history.map((results) => results.triggers?.find((other) => other.name === each.name)?.value).filter((value) => typeof value === "number");
  return h("section", { class: "panel check", "aria-label": each.title },
    h("div", { class: "head" }, h("h2", { class: "grow" }, each.title), badge(each.fires ? "failed" : "completed", each.fires ? "fires" : "calm")),
    h("p", { class: "big" }, shown(each.value), h("small", null, ` ${each.unit}`)),
    h("p", { class: "hint" }, `fires above ${shown(each.threshold)}`), spark([...trend, each.value], each.threshold),
    h("p", null, each.advice),
    each.executions.length ? h("p", { class: "hint" }, "Runs: ", each.executions.slice(0, 8).map((id) => [h("a", { href: `#/executions/${id}` }, `#${id}`), " "])) : null,
    h("details", null, h("summary", null, "The SQL behind it"), h("pre", { class: "json mono", tabindex: "0" }, each.query.trim())));
}

const shown = (value) => (typeof value === "number" ? Number(value.toPrecision(3)).toLocaleString() : "—");

function spark(values, threshold) {
  if (values.length < 2) return null;
  const most = Math.max(...values, threshold) * 1.05 || 1;
  const [width, height] = [220, 36];
  const y = (value) => height - 2 - (value / most) * (height - 4);
  return s("svg", { width, height, role: "img", "aria-label": `Week by week: ${values.map(shown).join(", ")}` },
    s("line", { class: "spark-limit", x1: 0, x2: width, y1: y(threshold), y2: y(threshold) }),
    s("polyline", { class: "spark", points: values.map((value, place) => `${(place / (values.length - 1)) * width},${y(value)}`).join(" ") }));
}

// The way to the answer: the server decides, this only draws the questions that led there.
function tree(found) {
  const firing = found.triggers.filter((each) => each.fires).map((each) => each.title);
  const answer = (word) => (found.recommendation === word ? [" → ", h("strong", null, WORDS[word])] : null);
  const step = (yes, question, outcome) => h("li", null, badge(yes ? "waiting" : "completed", yes ? "yes" : "no"), h("span", null, question, outcome));
  const told = firing.length ? ` ${firing.join("; ")}.` : "";
  const steps = found.workers_are_on
    ? [step(firing.length > 0, `Does a trigger fire?${told}`, answer(firing.length ? "keep_worker" : "may_switch_off"))]
    : [step(firing.length > 0, `Does a trigger fire?${told}`, answer("stay_inline")),
      firing.length ? step(found.recommendation === "switch_on", "Is it one that a worker helps against?", answer("switch_on") ?? answer("mend_first")) : null];
  return panel("Decision tree", body(h("ol", { class: "tree" }, step(found.workers_are_on, "Is a worker switched on?"), steps)));
}

function forecasts(found) {
  if (!found.forecasts.length) return [];
  return panel("What will be too slow before long", table([["Workflow", ""], ["p95", "num"], ["Weeks left", "num"], ["", "wide"]],
    found.forecasts.map((each) => [h("a", { href: `#/workflows/${each.workflow_id}` }, each.workflow), `${shown(each.p95_seconds)} s`, shown(each.weeks), each.sentence])));
}
