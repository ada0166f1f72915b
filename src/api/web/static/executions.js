// Executions: filtered, searched, and kept up to date as they happen.

import { all, get, listen } from "./api.js";
import { badge, empty, h, replace, seconds, table, when } from "./dom.js";

const STATUSES = ["queued", "running", "waiting", "paused", "completed", "failed", "stopped"];
const PAGE = 50;
const ORIGINS = { schedule_id: (id) => `Only what schedule ${id} has started.`, parent_id: (id) => `Only what execution ${id} has started.` }; // asked for by links to this list

export async function executions(query = "") {
  const wanted = new URLSearchParams(query);
  const names = new Map((await all("/workflows", "workflows", 500)).map((each) => [each.id, each.name]));
  const area = h("div");
  const more = h("button", { type: "button", onclick: () => load(true) }, "Older");
  const total = h("span", { class: "hint" });
  const status = h("select", { "aria-label": "Status", onchange: () => turn() }, h("option", { value: "" }, "Any status"), STATUSES.map((each) => h("option", { value: each, selected: each === wanted.get("status") }, each)));
  const workflow = h("select", { "aria-label": "Workflow", onchange: () => turn() }, h("option", { value: "" }, "Any workflow"), [...names].map(([id, name]) => h("option", { value: id, selected: String(id) === wanted.get("workflow_id") }, name)));
  const search = h("input", { type: "search", placeholder: "Execution or task id", "aria-label": "Execution or task id" });
  const form = h("form", { class: "filters", role: "search", "aria-label": "Executions", onsubmit: find }, status, workflow, search, h("button", null, "Open"));
  let rows = [];

  const given = Object.keys(ORIGINS).filter((name) => wanted.get(name)).map((name) => [name, wanted.get(name)]);
  const conditions = () => [["status", status.value], ["workflow_id", workflow.value], ...given].filter(([, value]) => value);
  function turn() {
    history.replaceState(null, "", `#/executions?${new URLSearchParams(conditions())}`);
    load();
  }
  async function find(event) {
    event.preventDefault();
    const text = search.value.trim();
    if (!text) return;
    try {
      const found = /^#?\d+$/.test(text) ? await get(`/executions/${text.replace("#", "")}`) : await get(`/tasks/${encodeURIComponent(text)}`);
      location.hash = `#/executions/${found.execution_id ?? found.id}`;
    } catch (error) { total.textContent = error.message; }
  }
  async function load(isMore = false) {
    const before = isMore ? [["before", rows[rows.length - 1].id]] : [];
    const page = await get(`/executions?${new URLSearchParams([...conditions(), ...before, ["limit", String(PAGE)]])}`);
    rows = isMore ? [...rows, ...page.executions] : page.executions;
    total.textContent = isMore ? total.textContent : `${page.total.toLocaleString()} in all`;
    more.hidden = page.executions.length < PAGE;
    draw();
  }
  function draw() {
    const lines = rows.map((each) => [
      h("a", { href: `#/executions/${each.id}` }, `#${each.id}`), h("a", { href: `#/workflows/${each.workflow_id}` }, names.get(each.workflow_id) ?? `workflow ${each.workflow_id}`),
      badge(each.status), each.waiting_for ?? each.error?.message?.split("\n")[0]?.slice(0, 120) ?? "", each.mode, when(each.created_at), seconds(each.execution_time)]);
    replace(area, lines.length ? table([["Execution", "one"], ["Workflow", ""], ["Status", "one"], ["About", "wide soft hide-small"], ["Mode", "soft hide-small"], ["Created", "one soft hide-small"], ["Time", "num"]], lines)
      : empty("No execution is like this.", conditions().length ? "Choose other filters." : "Run a workflow."));
  }
  await load();
  let soon = null;
  const stop = listen((notice) => {
    if (notice.type === "task_progress" || rows.length > PAGE) return;
    clearTimeout(soon);
    soon = setTimeout(() => load().catch(() => {}), 300);
  });
  return { leave: stop, content: [h("div", { class: "head" }, h("h1", { class: "grow" }, "Executions"), total), form,
    given.map(([name, value]) => h("p", { class: "hint" }, `${ORIGINS[name](value)} `, h("a", { href: "#/executions" }, "Show all"))), h("section", { class: "panel" }, area), h("div", null, more)] };
}
