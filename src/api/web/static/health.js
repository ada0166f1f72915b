// Health: this process, the workers, the queues and what has waited longest.

import { call } from "./api.js";
import { badge, body, figures, h, panel, replace, seconds, table } from "./dom.js";

const EVERY = 5000;
const LOOKED = "looked at every 5 s";

export async function health() {
  const area = h("div", { class: "stack" });
  async function load() {
    const [ready, workers] = await Promise.all([look("/health/ready"), look("/health/celery")]);
    replace(area, panel("This process", body(figures([
      ["State", badge(ready.status === "ready" ? "completed" : "failed", ready.status === "ready" ? "ready" : ready.detail ?? "not ready")], ["Database", ready.database], ["Walls around code", ready.sandbox]]))),
    panel("Workers", body(workersOf(workers))), queuesOf(workers));
  }
  await load();
  const told = h("span", { class: "hint", role: "status" }, LOOKED);
  const timer = setInterval(() => load().then(() => { told.textContent = LOOKED; }, (error) => { told.textContent = error.message; }), EVERY);
  return { leave: () => clearInterval(timer), content: [h("div", { class: "head" }, h("h1", { class: "grow" }, "Health"), told), area] };
}

// Sick is an answer here too.
async function look(path) {
  try { return await call("GET", path); } catch (error) {
    if (error.status !== 503) throw error;
    return error.problem;
  }
}

function workersOf(told) {
  if (told.status === "disabled") return h("p", { class: "hint" }, "Celery is off: everything runs in the web processes. Triggers says when it is time to switch it on.");
  return figures([
    ["State", badge(told.status === "ok" ? "completed" : "failed", told.status === "ok" ? "healthy" : told.detail)], ["Answering", told.workers], ["Running", told.running],
    ["Oldest waiting", seconds(told.oldest_queued_seconds) || "nothing waits"], ["Last bell", told.seconds_since_a_bell === null || told.seconds_since_a_bell === undefined ? "none yet" : `${seconds(told.seconds_since_a_bell)} ago`]]);
}

function queuesOf(told) {
  const rows = Object.entries(told.queues ?? {}).map(([name, depth]) => [name, String(depth.waiting), seconds(depth.oldest_seconds)]);
  return rows.length ? panel("Queues", table([["Queue", ""], ["Waiting", "num"], ["Oldest", "num"]], rows)) : [];
}
