// Two executions side by side: where they part first, and why; then node by node.

import { get } from "./api.js";
import { lineDiff, shownNode } from "./diff.js";
import { badge, body, empty, h, panel, pretty, replace, table, when } from "./dom.js";

const CHOICES = 100;
const MANY = 60;
const PAGE = 500; // attempts; a server gives no more at once
const WHYS = { code: "code changed", input: "input changed", output: "other output", path: "another path" };

export async function compare(id, otherId) {
  const one = await get(`/executions/${id}`);
  const others = await choicesFor(one, otherId);
  const crumb = h("div", { class: "crumb" }, h("a", { href: "#/executions" }, "Executions"), " / ", h("a", { href: `#/executions/${one.id}` }, `Execution ${one.id}`));
  const head = h("div", { class: "head" }, h("div", { class: "grow" }, crumb, h("h1", null, "Compare executions")));
  if (!others.length) return { content: [head, h("section", { class: "panel" }, empty("There is nothing to compare it with.", "No other execution of this workflow is there."))] };
  const choice = h("select", { id: "other", onchange: () => { address(); turn(); } }, others.map(([other, about]) => h("option", { value: other.id, selected: String(other.id) === otherId }, `#${other.id} · ${about}`)));
  const told = h("p", { role: "status" });
  const area = h("div", { class: "stack" });
  let asked = 0;

  const address = () => history.replaceState(null, "", `#/executions/${one.id}/diff/${choice.value}`);
  async function turn() {
    const mine = asked += 1;
    try {
      const other = others.find(([each]) => String(each.id) === choice.value)[0];
      const [before, after] = one.id < other.id ? [one, other] : [other, one]; // read from the earlier to the later
      const found = await get(`/executions/${before.id}/diff/${after.id}`);
      const sides = await Promise.all([before, after].map(async (each) => ({ execution: each, definition: (await get(`/executions/${each.id}/graph`)).graph_definition })));
      const parting = found.first && await evidence(found, sides);
      if (mine !== asked) return;
      told.textContent = found.first ? `They part at ${found.first.text}` : "All nodes ended alike.";
      replace(area, parting, pairs(found, sides));
    } catch (error) { if (mine === asked) { told.textContent = error.message; replace(area); } }
  }

  await turn();
  return { title: `Compare execution ${id}`, shown: address, content: [head, panel("Which two", body(
    h("div", { class: "filters" }, h("span", null, "Execution ", h("a", { href: `#/executions/${one.id}` }, `#${one.id}`), " with"),
      h("label", { class: "sr", for: "other" }, "Other execution"), choice), told)), area] };
}

// The one it stands on and those that stand on it come first, then the newest of the same workflow.
async function choicesFor(one, otherId) {
  const like = one.parent_id ? `parent_id=${one.parent_id}` : `workflow_id=${one.workflow_id}&top_level=true`;
  const { executions } = await get(`/executions?${like}&limit=${CHOICES}&count_to=1`);
  const found = executions.filter((each) => each.id !== one.id);
  for (const id of [one.origin_id, Number(otherId)]) {
    if (id && id !== one.id && !found.some((each) => each.id === id)) found.push(await get(`/executions/${id}`));
  }
  const rank = (each) => (each.id === one.origin_id ? 0 : each.origin_id === one.id ? 1 : 2);
  const about = (each) => [`the one that #${one.id} was made from, `, `made again from #${one.id}, `, ""][rank(each)] + `${each.status}, version ${each.workflow_version}`;
  return found.sort((a, b) => rank(a) - rank(b) || b.id - a.id).map((each) => [each, about(each)]);
}

const nodeIn = ({ definition }, nodeId) => definition.nodes.find((each) => each.id === nodeId);
const nameOf = (sides, nodeId) => (nodeIn(sides[0], nodeId) ?? nodeIn(sides[1], nodeId))?.label ?? nodeId;
const only = (value, keys) => Object.fromEntries(keys.filter((key) => Object.hasOwn(value ?? {}, key)).map((key) => [key, value[key]]));

// The first node that differs, with what tells why.
async function evidence(found, sides) {
  const { first } = found;
  const pair = found.nodes.find((each) => each.node_id === first.node_id);
  return panel("Where they part first", body(h("p", null, h("strong", null, nameOf(sides, first.node_id)), " ", badge("waiting", WHYS[first.why]), " ", first.keys.map((key) => [h("code", null, key), " "])), await proof(first, pair, sides)));
}

async function proof(first, pair, sides) {
  const [a, b] = sides.map(({ execution }) => `#${execution.id}`);
  const legend = (what) => h("p", { class: "hint" }, `${what}: − is ${a}, + is ${b}.`);
  if (first.why === "path") return h("p", null, `Only ${pair.one ? a : b} came to it.`);
  if (first.why === "output") return [legend("What came of it"), lineDiff(endOf(pair.one), endOf(pair.other))];
  if (first.why === "code") {
    const [before, after] = sides.map((side) => nodeIn(side, first.node_id)).map((node) => (node ? shownNode(node) : ""));
    return [legend("Its definition"), lineDiff(before, after)];
  }
  const [before, after] = await Promise.all(sides.map(({ execution }) => seenBy(execution.id, first.node_id)));
  return before && after ? [legend("What it saw"), lineDiff(pretty(only(before, first.keys)), pretty(only(after, first.keys)))]
    : h("p", { class: "hint" }, "The contexts of these runs are too large to show side by side.");
}

// A page at a time, until the node is found: all attempts at it see the same.
async function seenBy(executionId, nodeId) {
  for (let skip = 0; ;) {
    const { entries, total } = await get(`/executions/${executionId}/chain?limit=${PAGE}&skip=${skip}`);
    const found = entries.find((entry) => entry.node_id === nodeId);
    skip += entries.length;
    if (found || !entries.length || skip >= total) return found?.input_context;
  }
}

// How a node ended, as text.
function endOf(side) {
  if (!side) return "";
  return [side.error ?? "", side.branch === null ? "" : `branch: ${side.branch}`, pretty(side.output)].filter(Boolean).join("\n");
}

function pairs(found, sides) {
  const parted = new Map(found.differences.map((each) => [each.node_id, each]));
  const area = h("div");
  const all = h("input", { type: "checkbox", onchange: () => draw(), checked: found.nodes.length <= MANY });
  const heads = sides.map(({ execution }) => `#${execution.id}`);
  function draw() {
    const shown = all.checked ? found.nodes : found.nodes.filter((each) => each.differs);
    const rows = shown.map((each) => [node(each), side(each.one), side(each.other)]);
    replace(area, rows.length ? table([["Node", "half"], [heads[0], ""], [heads[1], ""]], rows) : empty("All nodes ended alike."));
  }
  function node(each) {
    const why = parted.get(each.node_id);
    return h("div", { class: why ? "parted" : null, "data-differs": why?.why }, h("strong", null, nameOf(sides, each.node_id)),
      each.node_id === found.first?.node_id ? [" ", badge("failed", "first difference")] : null,
      why ? [h("p", { class: "hint" }, WHYS[why.why], why.keys.length ? `: ${why.keys.join(", ")}` : ""),
        h("details", null, h("summary", null, "What came of it"), lineDiff(endOf(each.one), endOf(each.other)))] : null);
  }
  draw();
  const started = sides.map(({ execution }) => h("span", null, `#${execution.id}, version ${execution.workflow_version}, `, when(execution.created_at)));
  return panel("Node by node", body(h("p", { class: "hint" }, started[0], " · ", started[1]),
    found.initial_context.length ? h("p", null, "They were given other values for: ", found.initial_context.map((key) => [h("code", null, key), " "])) : null,
    h("label", { class: "tick" }, all, "Also what ended alike")), area);
}

function side(ran) {
  if (!ran) return h("span", { class: "hint" }, "did not come to it");
  return h("div", null, badge(ran.status), ran.branch === null ? null : h("p", { class: "hint" }, `branch ${ran.branch}`), ran.error ? h("p", { class: "wrong" }, ran.error.split("\n")[0].slice(0, 200)) : null);
}
