// Schedules: what runs by the clock, when it is due next and how it went; made, changed, held and deleted here.

import { all, call, get, inTurn, onNews, post } from "./api.js";
import { badge, body, empty, figures, h, panel, pretty, replace, toast } from "./dom.js";
import { formOf } from "./form.js";

const QUIET = 350; // milliseconds without a key before the server is asked
const SKIPS = { overlap: "an earlier run had not ended", missed: "nobody saw the time", too_many: "too many runs waited", refused: "it was refused" };

export async function schedules() {
  const [workflows, first] = await Promise.all([all("/workflows", "workflows", 500), page()]);
  const count = h("span", { class: "hint" });
  const area = h("div", { class: "stack" });
  const editor = h("div");
  const add = h("button", { type: "button", class: "main", onclick: () => edit(null) }, "New schedule");

  function draw({ schedules: found, total }) {
    count.textContent = `${total.toLocaleString()} in all`;
    replace(area, found.length ? found.map((each) => card(each, { edit, again })) : h("section", { class: "panel" }, empty("Nothing runs by the clock yet.", workflows.length ? "Make a schedule." : "Save a workflow first.")));
  }
  const load = inTurn(page);
  const again = () => load().then(draw).catch((error) => toast(error.message)); // what was done is done, whether the list comes or not
  function edit(schedule) {
    const close = (focus = true) => { replace(editor); if (focus) add.focus(); };
    replace(editor, editing(schedule, workflows, { close, again }));
    editor.querySelector("select, input")?.focus();
  }
  draw(first);
  add.disabled = !workflows.length;
  const isFree = () => !area.contains(document.activeElement); // whoever is at a button there keeps it
  const stop = onNews(async () => { if (isFree()) await load().then((found) => { if (isFree()) draw(found); }, () => {}); });
  return { leave: stop, content: [h("div", { class: "head" }, h("h1", { class: "grow" }, "Schedules"), count, add), editor, area] };
}

// In the time zone that the schedule is meant in, whatever the reader's is.
function at(moment, timezone) {
  if (!moment) return "never";
  let text = moment;
  try { text = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", timeZone: timezone }).format(new Date(moment)); } catch { /* the server knows zones that this browser does not */ }
  return h("time", { datetime: moment, title: moment }, text);
}

const page = () => get("/schedules?limit=500");

function card(each, { edit, again }) {
  const name = each.name || each.description;
  const told = h("p", { class: "wrong", role: "alert" });
  const act = (word, kind, work, question) => h("button", { type: "button", class: kind, onclick: async () => {
    if (question && !window.confirm(question)) return;
    try { await work(); } catch (error) { told.textContent = error.message; }
  } }, word);
  const change = (changes) => async () => { await call("PATCH", `/schedules/${each.id}`, changes); again(); };
  const run = async () => { location.hash = `#/executions/${(await post(`/schedules/${each.id}/run`)).id}`; };
  const remove = async () => { await call("DELETE", `/schedules/${each.id}`); toast("The schedule is gone; its executions stay."); again(); };
  const state = !each.enabled ? badge("paused", "paused") : each.workflow_paused_at ? badge("paused", "workflow held back") : badge("completed", "on");
  return h("article", { class: "panel", "aria-label": name }, h("header", null, h("h2", null, name), state,
    h("span", { class: "end buttons" }, act(each.enabled ? "Pause" : "Resume", "", change({ enabled: !each.enabled })), act("Run now", "", run), act("Edit", "", () => edit(each)),
      act("Delete", "risk", remove, "Delete this schedule? Its executions stay."))), body(figures([
    ["Workflow", h("a", { href: `#/workflows/${each.workflow_id}` }, each.workflow)], ["When", each.description], ["Cron", h("span", { class: "mono" }, each.cron)], ["Time zone", each.timezone],
    ["Next", each.enabled ? at(each.next_fire_at, each.timezone) : "not while it is paused"],
    ["Last run", each.last_execution_id ? h("span", null, h("a", { href: `#/executions/${each.last_execution_id}` }, `#${each.last_execution_id}`), " ", each.last_status ? badge(each.last_status) : null, " ", h("a", { href: `#/executions?schedule_id=${each.id}` }, "all runs")) : "none yet"],
    ["Last skipped", each.last_skipped_at ? h("span", null, at(each.last_skipped_at, each.timezone), `: ${SKIPS[each.last_skipped_for] ?? each.last_skipped_for}`) : ""], ["Client", each.client_slug ?? ""],
  ]), told));
}

const titled = (pairs) => pairs.map(([constant, title]) => ({ const: constant, title }));

// What a schedule consists of; the server says what is wrong with it.
function schemaOf(workflows) {
  return { type: "object", required: ["workflow_id", "cron", "timezone"], properties: {
    workflow_id: { title: "Workflow", oneOf: titled(workflows.map((each) => [each.id, each.name])) },
    name: { type: "string", title: "Name" },
    cron: { type: "string", title: "Cron", description: "Minute, hour, day of the month, month, day of the week, such as 30 7 * * MON-FRI" },
    timezone: { type: "string", title: "Time zone", examples: Intl.supportedValuesOf?.("timeZone") ?? ["UTC"] },
    initial_context: { title: "Initial context (JSON)", description: "Laid over the workflow's own." },
    client_slug: { type: "string", title: "Client", description: "Whom the runs are made for." },
    overlap: { title: "When an earlier run has not ended", default: "skip", oneOf: titled([["skip", "let the time go by"], ["queue", "wait for its turn"], ["allow", "run both"]]) },
    catch_up: { title: "For times that nobody saw", default: "skip", oneOf: titled([["skip", "let them go by"], ["one", "one run for all of them"]]) },
    enabled: { type: "boolean", title: "On" },
  } };
}

const NEW = { cron: "30 7 * * MON-FRI", timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC", initial_context: {}, overlap: "skip", catch_up: "skip", enabled: true };

const NOTHING = { name: null, client_slug: null, initial_context: {} };

// To name a field is to change it: the server drops what was due by the times before, and lets go on what somebody held.
const changed = (schedule, given) => Object.fromEntries(Object.entries(given).filter(([name, value]) => pretty(value) !== pretty(schedule[name])));

function editing(schedule, workflows, { close, again }) {
  const schema = schemaOf(workflows);
  if (schedule) delete schema.properties.workflow_id; // a schedule stays with its workflow
  const fields = formOf(schema, schedule ?? { ...NEW, workflow_id: workflows[0]?.id });
  const told = h("p", { class: "wrong", role: "alert" });
  const due = h("p", { class: "hint", role: "status" });
  const keep = h("button", { class: "main" }, schedule ? "Save" : "Create");
  const save = async (event) => {
    event.preventDefault();
    const given = fields.read();
    if (given === null) return;
    told.textContent = "";
    keep.disabled = true;
    try {
      if (schedule) await call("PATCH", `/schedules/${schedule.id}`, changed(schedule, { ...NOTHING, ...given }));
      else await post("/schedules", given);
    } catch (error) {
      told.textContent = fields.blame(error.errors).map((each) => `${each.pointer} ${each.detail}`).join(" · ") || (error.errors?.length ? "" : error.message);
      keep.disabled = false;
      return;
    }
    close();
    again();
  };
  let waiting = null;
  let asked = 0;
  const preview = async () => {
    const mine = asked += 1;
    const show = (...content) => { if (mine === asked) replace(due, ...content); };
    const { cron, timezone } = fields.now();
    if (!cron || !timezone) { show(); return; }
    try {
      const found = await post("/schedules/preview", { cron, timezone, count: 3 });
      show(`${found.description}. Next: `, found.times.map((each, place) => [place ? " · " : "", at(each, timezone)]));
    } catch (error) { show(error.errors?.length ? error.errors.map((each) => each.detail).join(" · ") : error.message); }
  };
  const form = h("form", { "aria-label": schedule ? "Edit the schedule" : "New schedule", novalidate: true, onsubmit: save, oninput: () => { clearTimeout(waiting); waiting = setTimeout(preview, QUIET); } },
    fields.element, due, told, h("div", { class: "buttons" }, keep, h("button", { type: "button", onclick: () => close() }, "Cancel")));
  preview();
  return panel(schedule ? `Edit “${schedule.name || schedule.description}”` : "New schedule", body(form));
}
