// Executions: filtered, searched, and kept up to date as they happen.

import { all, get, onNews } from "./api.js";
import { arrange, atRest, badge, empty, h, lasting, seconds, toast, when } from "./dom.js";
import { kindsIn, placeOf } from "./parents.js";

const STATUSES = ["queued", "running", "waiting", "paused", "completed", "failed", "stopped"];
const PAGE = 50;
const MOST = 500; // of one answer, and so of one list
const COUNTED = 1000; // no further: nobody reads the rest, and counting a million takes time
// Asked for by links to this list.
const ORIGINS = {
  schedule_id: (id) => `Only what schedule ${id} has started.`, parent_id: (id) => `Only what execution ${id} has started.`,
  origin_id: (id) => `Only what was run again from execution ${id}.`, before: (id) => `Only what is older than execution ${id}.`,
};

const COLUMNS = [["Execution", "one"], ["Workflow", "name"], ["Status", "one"], ["About", "wide soft hide-small"], ["Mode", "soft hide-small"], ["Created", "one soft hide-small"], ["Time", "num"]];

const two = (number) => String(number).padStart(2, "0");
// A moment as a field of local time has it, and back.
function localOf(moment) {
  const at = new Date(moment ?? "");
  return Number.isNaN(at.getTime()) ? "" : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
}
const momentOf = (local) => (local ? new Date(local).toISOString() : "");

export async function executions(query = "") {
  const wanted = new URLSearchParams(query);
  const parentId = wanted.get("parent_id");
  const [workflows, clients, kinds] = await Promise.all([all("/workflows", "workflows", 500), clientsOf(), parentId ? kindsIn(parentId) : new Map()]);
  const names = new Map(workflows.map((each) => [each.id, each.name]));
  const fields = fieldsOf(wanted, { names, clients, turn });
  const area = h("div");
  const list = lasting(COLUMNS);
  const more = h("button", { type: "button", onclick: older }, "Older");
  const total = h("span", { class: "hint", role: "status" });
  const search = h("input", { type: "search", placeholder: "Execution or task id", "aria-label": "Execution or task id" });
  const given = Object.keys(ORIGINS).filter((name) => wanted.get(name)).map((name) => [name, wanted.get(name)]);
  const form = h("form", { role: "search", "aria-label": "Executions", onsubmit: find },
    h("div", { class: "filters" }, fields.first, search, h("button", null, "Open")), fields.rest);
  let rows = [];
  let room = PAGE; // for as many as were asked for
  let asked = 0, answered = 0; // requests, by their numbers

  const conditions = () => [...fields.read(), ...given];
  function turn() {
    history.replaceState(null, "", `#/executions?${new URLSearchParams(conditions())}`);
    room = PAGE;
    answered = asked + 1; // nothing of before is wanted any more
    show();
  }
  // The whole list is asked for again, so that all of it is as it stands, whatever else has asked for it meanwhile.
  function older() {
    if (room < MOST) { room += PAGE; show(); return; }
    const others = conditions().filter(([name]) => name !== "before");
    location.hash = `#/executions?${new URLSearchParams([...others, ["before", rows[rows.length - 1].id]])}`;
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
  async function load() {
    const [mine, limit] = [asked += 1, room];
    const parts = [...conditions(), ["limit", limit], ["count_to", COUNTED]];
    if (!parts.some(([name]) => ["top_level", "parent_id", "origin_id"].includes(name))) parts.push(["top_level", "true"]);
    const page = await get(`/executions?${new URLSearchParams(parts)}`);
    await atRest();
    if (mine < answered) return; // what was asked for later was faster
    answered = mine;
    rows = page.executions;
    total.textContent = page.total < COUNTED ? `${page.total} in all` : `${COUNTED.toLocaleString()} or more`;
    draw();
    const isAll = rows.length < limit;
    if (isAll && document.activeElement === more) list.element.focus(); // where the last press has led
    more.hidden = isAll;
  }
  const show = () => load().catch((error) => { total.textContent = error.message; });
  function draw() {
    list.show(rows.map((each) => [each.id, [
      h("a", { href: `#/executions/${each.id}` }, `#${each.id}`), h("a", { href: `#/workflows/${each.workflow_id}` }, names.get(each.workflow_id) ?? `workflow ${each.workflow_id}`),
      badge(each.status), each.waiting_for ?? each.error?.message?.split("\n")[0]?.slice(0, 120) ?? (each.parent_id ? `#${each.parent_id} ${placeOf(each, kinds)}` : ""), each.mode, when(each.created_at), seconds(each.execution_time)]]));
    arrange(area, [rows.length ? list.element : empty("No execution is like this.", conditions().length ? "Choose other filters." : "Run a workflow.")]);
  }
  await load();
  return { leave: onNews(show), content: [h("div", { class: "head" }, h("h1", { class: "grow" }, "Executions"), total), form,
    given.map(([name, value]) => h("p", { class: "hint" }, `${ORIGINS[name](value)} `, h("a", { href: "#/executions" }, "Show all"))), h("section", { class: "panel" }, area), h("div", null, more)] };
}

// Not for every key to see. Where they do not come, the list does all the same.
async function clientsOf() {
  try {
    const { scopes, client_slug: slug } = await get("/sign-in");
    return scopes.includes("admin") && !slug ? await all("/clients", "clients", 500) : [];
  } catch (error) {
    if (error.status !== 401) toast(`The clients cannot be shown: ${error.message}`);
    return [];
  }
}

// What an address asks for holds, though it cannot be chosen: of a workflow that is archived, of a client not to be seen.
function withGiven(pairs, given, label) {
  return !given || pairs.some(([value]) => String(value) === given) ? pairs : [...pairs, [given, `${label.toLowerCase()} ${given}`]];
}

function fieldsOf(wanted, { names, clients, turn }) {
  const choice = (name, label, none, pairs) => h("select", { "aria-label": label, name, onchange: turn }, h("option", { value: "" }, none),
    withGiven(pairs, wanted.get(name), label).map(([value, word]) => h("option", { value, selected: String(value) === wanted.get(name) }, word)));
  const exact = new Map(["created_from", "created_before"].map((name) => [name, wanted.get(name) ?? ""])); // finer than a field shows
  const moment = (name, label) => h("label", null, label, h("input", { type: "datetime-local", name, value: localOf(wanted.get(name)), onchange: (event) => { exact.set(name, momentOf(event.target.value)); turn(); } }));
  const first = [choice("status", "Status", "Any status", STATUSES.map((each) => [each, each])), choice("workflow_id", "Workflow", "Any workflow", [...names])];
  const client = clients.length || wanted.get("client_id") ? choice("client_id", "Client", "Any client", clients.map((each) => [each.id, each.slug])) : null;
  const error = h("input", { type: "search", name: "error_type", "aria-label": "Type of error", placeholder: "Type of error", maxlength: 200, value: wanted.get("error_type") ?? "", onchange: turn });
  const times = [moment("created_from", "Created from"), moment("created_before", "Created before")];
  const below = h("input", { type: "checkbox", checked: wanted.get("top_level") === "false", onchange: turn });
  const isUsed = ["client_id", "error_type", "created_from", "created_before", "top_level"].some((name) => wanted.get(name));
  const rest = h("details", { open: isUsed }, h("summary", null, "More filters"), h("div", { class: "filters" }, client, error, times,
    h("label", { class: "tick" }, below, "Also what other executions have started")));
  const texts = [...first, client, error].filter(Boolean);
  const read = () => [...texts.map((each) => [each.name, each.value.trim()]), ...exact,
    ["top_level", below.checked ? "false" : ""]].filter(([, value]) => value);
  return { first, rest, read };
}
