// Reviews: what waits for a person, answered where it stands.

import { get, inTurn, onNews, post } from "./api.js";
import { arrange, empty, h, json, toast, when } from "./dom.js";
import { formOf, jsonField } from "./form.js";

const WORDS = { approve: "Approve", reject: "Reject", retry: "Try again" };

export async function reviews() {
  const area = h("section", { class: "panel" });
  const total = h("span", { class: "hint" });
  const cards = new Map();
  const nothing = empty("Nothing waits for you.", "What a workflow wants a person to look at comes here.");
  const load = inTurn(async () => {
    const found = await get("/reviews?limit=50");
    total.textContent = `${found.total} waiting`;
    const keys = new Set(found.reviews.map(keyOf));
    for (const key of [...cards.keys()]) if (!keys.has(key)) cards.delete(key);
    for (const review of found.reviews) if (!cards.has(keyOf(review))) cards.set(keyOf(review), card(review, load)); // what somebody has begun to fill in stays
    arrange(area, found.reviews.length ? found.reviews.map((each) => cards.get(keyOf(each))) : [nothing]);
  });
  await load();
  return { leave: onNews(() => load().catch(() => {})), content: [h("div", { class: "head" }, h("h1", { class: "grow" }, "Reviews"), total), area] };
}

let made = 0;
const keyOf = (review) => `${review.execution_id} ${review.attempt} ${review.node_id}`;

function card(review, onAnswered) {
  const fields = review.form ? formOf(review.form, review.output ?? review.input) : review.output ? jsonField("Output, to be corrected (JSON)", review.output, { isObject: true }) : null;
  const comment = h("textarea", { rows: 2, id: `comment-${made += 1}` });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const decide = async (decision) => {
    const output = fields && decision !== "reject" && decision !== "retry" ? fields.read() : undefined;
    if (output === null) return;
    try {
      await post(`/executions/${review.execution_id}/nodes/${encodeURIComponent(review.node_id)}/review`, { decision, comment: comment.value || null, ...(output ? { output } : {}) });
      toast(`Execution ${review.execution_id} goes on.`);
      await onAnswered();
    } catch (error) {
      wrong.textContent = [error.message, ...(error.errors ?? []).map((each) => `${each.pointer} ${each.detail}`)].join(" · ");
      if (error.status === 409) onAnswered();
    }
  };
  const buttons = review.decisions.map((each, place) => h("button", { type: "button", class: place === 0 ? "main" : each === "reject" ? "risk" : null, "data-decision": each, onclick: () => decide(each) }, WORDS[each] ?? each));
  return h("article", { class: "card", "aria-label": review.title ?? review.node_id },
    h("div", { class: "head" }, h("div", { class: "grow" }, h("h2", null, review.title ?? review.node_id),
      h("p", null, h("a", { href: `#/executions/${review.execution_id}` }, `Execution ${review.execution_id}`), " of ", h("bdi", null, review.workflow), " · since ", when(review.since), review.due_at ? [" · due ", when(review.due_at)] : null, review.assignees?.length ? [" · for ", h("bdi", null, review.assignees.join(", "))] : null)),
    ),
    review.error_type ? h("div", { class: "note", "data-tone": "amber" }, h("strong", null, review.error_type), h("pre", { class: "mono" }, review.error_message)) : null,
    h("div", { class: "two" }, h("div", null, h("h3", null, "What the node saw"), json(review.input), review.output ? [h("h3", null, "What it would change"), json(review.output)] : null),
      h("div", null, fields?.element, h("div", { class: "field" }, h("label", { for: comment.id }, "Comment"), comment), wrong, h("div", { class: "buttons" }, buttons))));
}
