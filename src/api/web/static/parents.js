// What an execution is to the one that has started it.

import { get } from "./api.js";

const NUMBERED = { map: "item", agent: "call", llm: "call" }; // every other node starts one

// The kinds of the nodes of an execution, by their ids: none of one that is gone.
export async function kindsIn(id) {
  try {
    const { graph_definition: definition } = await get(`/executions/${id}/graph`);
    return new Map(definition.nodes.map((node) => [node.id, node.type]));
  } catch { return new Map(); }
}

export function placeOf(run, kinds) {
  const word = NUMBERED[kinds.get(run.parent_node_id)];
  return `at ${run.parent_node_id}${word ? `, ${word} ${run.parent_item}` : ""}`;
}
