// A node of an execution: its attempts, what each changed in the context, its logs, and where its code broke.

import { brokenLine, codeLines } from "./code.js";
import { contextDiff } from "./diff.js";
import { badge, body, clock, figures, h, json, panel, seconds, tabs } from "./dom.js";

export function attemptsOf(node, entries, state) {
  const title = h("h2", null, node.label ?? node.id);
  if (!entries.length) {
    const word = { running: "It is running; its output comes when it has ended.", skipped: "It was skipped: no live edge leads to it." }[state?.state] ?? "It has not run.";
    return panel(title, body(figures([["Id", node.id], ["Kind", node.type]]), h("h3", null, "State"), h("p", { class: "hint" }, word)));
  }
  const items = entries.map((entry) => [String(entry.attempt), `Attempt ${entry.attempt}`, () => attempt(node, entry)]);
  return panel(title, entries.length > 1 ? tabs(items, String(entries[entries.length - 1].attempt)) : attempt(node, entries[0]));
}

function attempt(node, entry) {
  const code = entry.code_executed ?? node.code;
  const line = brokenLine(entry.error_traceback);
  const facts = figures([
    ["Status", badge(entry.status)], ["Took", seconds(entry.execution_time)], ["Started", clock(entry.started_at)], ["Kind", entry.node_type],
    ["Branch", entry.decision_result ?? ""], ["Waits for", entry.waiting_for ?? ""], ["Walls", entry.sandbox_level ?? ""],
    ["Processor", entry.cpu_seconds ? seconds(entry.cpu_seconds) : ""], ["Memory", entry.max_rss_kb ? `${Math.round(entry.max_rss_kb / 1024)} MB` : ""], ["Id", h("span", { class: "mono" }, node.id)],
  ]);
  return body(facts,
    entry.error_type ? [h("h3", null, `Error, ${entry.error_class}`), h("div", { class: "note", "data-tone": "red" }, h("strong", null, entry.error_type), h("pre", { class: "mono" }, entry.error_message))] : null,
    code && line ? [h("h3", null, `Code, broken at line ${line}`), codeLines(code, line)] : null,
    h("h3", null, "What it changed"), entry.input_context ? contextDiff(entry.input_context, entry.output_result) : h("p", { class: "hint" }, "The contexts of this run are too large to show side by side."),
    entry.logs ? [h("h3", null, "Logs"), h("pre", { class: "json mono", tabindex: "0" }, entry.logs)] : null,
    h("details", null, h("summary", null, "Context before"), entry.input_context ? json(entry.input_context) : null),
    h("details", null, h("summary", null, "Context after"), json({ ...entry.input_context, ...entry.output_result })),
    code && !line ? h("details", null, h("summary", null, "Code"), codeLines(code)) : null,
    entry.error_traceback ? h("details", null, h("summary", null, "Traceback"), h("pre", { class: "json mono", tabindex: "0" }, entry.error_traceback)) : null,
  );
}
