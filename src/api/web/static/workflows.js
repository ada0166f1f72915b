// Workflows: the list, one of them with its picture and its form, its versions, and its definition to be edited.

import { all, call, get, inTurn, onNews, post } from "./api.js";
import { definitionDiff } from "./diff.js";
import { arrange, atRest, badge, body, empty, h, lasting, panel, pretty, replace, seconds, table, tabs, toast, when } from "./dom.js";
import { editor } from "./editor.js";
import { formOf } from "./form.js";
import { Graph } from "./graph.js";

const RECENT = 20;

export async function workflows() {
  const found = await all("/workflows", "workflows", 500);
  const area = h("div");
  const search = h("input", { type: "search", placeholder: "Search by name", "aria-label": "Search by name", oninput: () => draw() });
  function draw() {
    const wanted = search.value.toLowerCase();
    const shown = found.filter((each) => `${each.name} ${each.description ?? ""}`.toLowerCase().includes(wanted));
    const rows = shown.map((each) => [
      h("span", null, h("a", { href: `#/workflows/${each.id}` }, each.name), each.paused_at ? [" ", badge("paused", "held")] : null),
      each.description ?? "", `v${each.version}`, when(each.updated_at)]);
    replace(area, rows.length ? table([["Name", "name"], ["Description", "wide soft hide-small"], ["Version", "num"], ["Changed", "one soft"]], rows)
      : empty(found.length ? "No workflow has such a name." : "There is no workflow yet.", found.length ? "" : "Make one, or save one with POST /workflows."));
  }
  draw();
  return { content: [
    h("div", { class: "head" }, h("h1", { class: "grow" }, "Workflows"), h("div", { class: "filters" }, search,
      h("a", { class: "button", href: "#/workflows/new" }, "New workflow"))),
    h("section", { class: "panel" }, area)] };
}

export async function newWorkflow() {
  const template = { name: "hello", graph_definition: {
    inputs: { type: "object", properties: { name: { type: "string", title: "Name", description: "Who is greeted." } }, required: ["name"] },
    nodes: [{ id: "start", type: "start" }, { id: "greet", type: "transform", label: "Greet", set: { greeting: "Hello, {{ context.name }}!" } }, { id: "end", type: "end" }],
    edges: [{ from: "start", to: "greet" }, { from: "greet", to: "end" }] } };
  const save = async (text) => {
    const saved = await call("POST", "/workflows", text);
    location.hash = `#/workflows/${saved.id}`;
  };
  return { content: [h("div", { class: "head" }, h("div", { class: "grow" }, h("div", { class: "crumb" }, h("a", { href: "#/workflows" }, "Workflows")), h("h1", null, "New workflow"))),
    panel("Definition", body(editor(pretty(template), { save, word: "Create" })))] };
}

export const inputsOf = (definition) => definition.inputs ?? definition.metadata?.inputs ?? null;

export async function workflow(id) {
  let found = await get(`/workflows/${id}`);
  const head = h("div", { class: "head" });
  const graph = new Graph(found.graph_definition, { onChoose: (node) => showNode(node) });
  const chosen = h("div");
  const form = runner(found);

  function showNode(nodeId) {
    const node = found.graph_definition.nodes.find((each) => each.id === nodeId);
    const { code, ...rest } = node;
    replace(chosen, panel(`Node ${node.label ?? nodeId}`, body(h("pre", { class: "json mono", tabindex: "0" }, pretty(rest)),
      code ? [h("h3", null, "Code"), h("pre", { class: "json mono", tabindex: "0" }, code)] : null)));
  }
  function drawHead() {
    replace(head, h("div", { class: "grow" }, h("div", { class: "crumb" }, h("a", { href: "#/workflows" }, "Workflows"), ` / ${found.id}`),
      h("h1", null, found.name), found.description ? h("p", null, found.description) : null),
    badge("", `version ${found.version}`), found.paused_at ? badge("paused", "held back") : null,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: hold, title: "New runs wait until they are let go" }, found.paused_at ? "Let runs go" : "Hold runs back")));
  }
  async function hold() {
    try {
      found = await call("PATCH", `/workflows/${id}`, { paused: !found.paused_at });
      drawHead();
    } catch (error) { toast(error.message); }
  }
  const save = async (text) => {
    found = await call("PUT", `/workflows/${id}`, text, { "If-Match": `"${found.version}"` });
    toast(`Saved as version ${found.version}.`);
    graph.definition = found.graph_definition;
    graph.draw();
    drawHead();
  };
  const document_ = () => ({ name: found.name, ...(found.description ? { description: found.description } : {}),
    ...(found.initial_context ? { initial_context: found.initial_context } : {}), graph_definition: found.graph_definition });
  let stop = () => {}; // hearing of its runs
  const runs = () => {
    stop();
    const shown = recent(id);
    stop = shown.stop;
    return shown.area;
  };
  const parts = tabs([
    ["runs", "Executions", runs],
    ["definition", "Definition", () => body(editor(pretty(document_()), { save, word: "Save as new version" }))],
    ["versions", "Versions", () => versions(id)],
  ], "runs", (key) => { if (key !== "runs") stop(); });
  drawHead();
  return { title: found.name, leave: () => stop(), content: [head,
    h("div", { class: "two" }, h("div", { class: "stack" }, h("section", { class: "panel" }, h("header", null, h("h2", null, "Graph"), graph.tools), graph.box), chosen), panel("Run", body(form))),
    h("section", { class: "panel" }, parts)] };
}

function runner(found) {
  const schema = inputsOf(found.graph_definition);
  const fields = formOf(schema, found.initial_context ?? {});
  const told = h("p", { class: "wrong", role: "alert" });
  const button = h("button", { class: "main" }, "Run");
  return h("form", { "aria-label": "Run this workflow", novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    const context = fields.read();
    if (context === null) return;
    button.disabled = true;
    told.textContent = "";
    try {
      const started = await post(`/workflows/${found.id}/execute?async_mode=true`, { initial_context: context });
      location.hash = `#/executions/${started.id}`;
    } catch (error) {
      const rest = fields.blame(error.errors, "/initial_context");
      told.textContent = [error.message, ...rest.map((each) => `${each.pointer} ${each.detail}`)].join(" · ");
      button.disabled = false;
    }
  } }, fields.element, told, button);
}

function recent(id) {
  const area = h("div", null, body(h("p", { class: "hint" }, "Loading …")));
  const list = lasting([["Execution", "one"], ["Status", "one"], ["Version", "num hide-small"], ["Created", "one soft"], ["Time", "num"]]);
  const rest = body(h("a", { href: `#/executions?workflow_id=${id}` }, "All executions"));
  const load = inTurn(async () => {
    try {
      const { executions } = await get(`/executions?workflow_id=${id}&top_level=true&limit=${RECENT}&count_to=1`);
      await atRest();
      list.show(executions.map((each) => [each.id, [h("a", { href: `#/executions/${each.id}` }, `#${each.id}`), badge(each.status), `v${each.workflow_version}`, when(each.created_at), seconds(each.execution_time)]]));
      arrange(area, [executions.length ? list.element : empty("It has not run yet."), ...(executions.length === RECENT ? [rest] : [])]);
    } catch (error) { replace(area, body(h("p", { role: "alert" }, error.message))); }
  });
  load();
  return { area, stop: onNews(load, (notice) => String(notice.workflow_id) === String(id)) };
}

function versions(id) {
  const area = h("div", { class: "body" }, h("p", { class: "hint" }, "Loading …"));
  get(`/workflows/${id}/versions`).then(({ versions: found }) => {
    const result = h("div");
    const choice = (label, chosen) => h("select", { "aria-label": label, onchange: draw }, found.map((each) => h("option", { value: each.version, selected: each.version === chosen }, `version ${each.version}`)));
    const newest = found[0].version;
    const [before, after] = [choice("Before", Math.max(1, newest - 1)), choice("After", newest)];
    const of = (select) => found.find((each) => String(each.version) === select.value);
    function draw() {
      replace(result, h("p", { class: "hint" }, "Saved ", when(of(after).created_at), ` · ${of(after).sha256.slice(0, 12)}`),
        before.value === after.value ? h("p", { class: "hint" }, "Choose two versions to compare.") : definitionDiff(of(before).graph_definition, of(after).graph_definition));
    }
    replace(area, h("div", { class: "filters" }, before, h("span", { "aria-hidden": "true" }, "→"), after), result);
    draw();
  }).catch((error) => replace(area, h("p", { role: "alert" }, error.message)));
  return area;
}
