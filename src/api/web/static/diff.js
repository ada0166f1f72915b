// What differs: between two texts by lines, two contexts by keys, two definitions by nodes and edges.

import { badge, h, pretty } from "./dom.js";

const MAX_CELLS = 4_000_000;
const AROUND = 3;

// [kind, line] with kind "same", "added" or "removed".
export function lines(before, after) {
  const [a, b] = [before, after].map((text) => (text ? text.split("\n") : []));
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const same = (part) => part.map((line) => ["same", line]);
  return [...same(a.slice(0, start)), ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)), ...same(a.slice(a.length - end))];
}

function middle(a, b) {
  const found = [];
  if (a.length * b.length > MAX_CELLS) return [...a.map((line) => ["removed", line]), ...b.map((line) => ["added", line])];
  const width = b.length + 1;
  const common = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = a[i] === b[j] ? common[(i + 1) * width + j + 1] + 1 : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { found.push(["same", a[i]]); i += 1; j += 1; }
    else if (i < a.length && (j === b.length || common[(i + 1) * width + j] >= common[i * width + j + 1])) { found.push(["removed", a[i]]); i += 1; }
    else { found.push(["added", b[j]]); j += 1; }
  }
  return found;
}

const SIGNS = { same: " ", added: "+", removed: "−" };
const mark = (kind, isTold = kind !== "same") => h("b", isTold ? { role: "img", "aria-label": kind } : { "aria-hidden": "true" }, SIGNS[kind]);

export function lineDiff(before, after) {
  const all = lines(before, after);
  const near = all.map((_, place) => all.slice(Math.max(0, place - AROUND), place + AROUND + 1).some(([kind]) => kind !== "same"));
  const box = h("div", { class: "diff", tabindex: "0" });
  let hidden = 0;
  const cut = () => { if (hidden) box.append(h("div", { class: "cut" }, `${hidden} unchanged ${hidden === 1 ? "line" : "lines"}`)); hidden = 0; };
  all.forEach(([kind, line], place) => {
    if (!near[place]) { hidden += 1; return; }
    cut();
    box.append(h("div", { class: kind }, mark(kind), line));
  });
  cut();
  return box;
}

// The context before and after a node: what it added, what it changed; the rest only by number.
export function contextDiff(before, output) {
  const keys = Object.keys(output ?? {});
  const changed = keys.filter((key) => key in before && pretty(before[key]) !== pretty(output[key]));
  const added = keys.filter((key) => !(key in before));
  const untouched = Object.keys(before).length - changed.length;
  const box = h("div", { class: "diff", tabindex: "0" });
  const put = (kind, key, value) => box.append(...`${key}: ${pretty(value)}`.split("\n").map((line, place) =>
    h("div", { class: kind }, mark(kind, place === 0), line)));
  for (const key of changed) {
    if (typeof before[key] === "object" && typeof output[key] === "object") {
      for (const [kind, line] of lines(`${key}: ${pretty(before[key])}`, `${key}: ${pretty(output[key])}`)) {
        box.append(h("div", { class: kind }, mark(kind), line));
      }
    } else { put("removed", key, before[key]); put("added", key, output[key]); }
  }
  for (const key of added) put("added", key, output[key]);
  if (!changed.length && !added.length) box.append(h("div", { class: "cut" }, "The node changed nothing."));
  box.append(h("div", { class: "cut" }, `${untouched} unchanged ${untouched === 1 ? "key" : "keys"}`));
  return box;
}

// Two versions of a definition: nodes and edges that came, went or changed.
export function definitionDiff(before, after) {
  const box = h("div", { class: "changes" });
  const byId = (definition) => new Map((definition.nodes ?? []).map((node) => [node.id, node]));
  const [old, now] = [byId(before), byId(after)];
  const section = (tone, word, name, ...more) => box.append(h("section", null,
    h("h3", null, badge(tone, word), h("span", null, name)), ...more));
  for (const [id, node] of now) {
    if (!old.has(id)) section("success", "added", `node ${id}`, lineDiff("", shownNode(node)));
    else if (shownNode(old.get(id)) !== shownNode(node)) section("waiting", "changed", `node ${id}`, lineDiff(shownNode(old.get(id)), shownNode(node)));
  }
  for (const [id, node] of old) if (!now.has(id)) section("failed", "removed", `node ${id}`, lineDiff(shownNode(node), ""));
  const edges = (definition) => (definition.edges ?? []).map((edge) => `${edge.from} → ${edge.to}${edge.condition ? ` when ${edge.condition}` : ""}`).sort().join("\n");
  if (edges(before) !== edges(after)) section("waiting", "changed", "edges", lineDiff(edges(before), edges(after)));
  const rest = ({ nodes, edges: _, ...others }) => pretty(others);
  if (rest(before) !== rest(after)) section("waiting", "changed", "settings", lineDiff(rest(before), rest(after)));
  if (!box.children.length) box.append(h("p", { class: "hint" }, "The two are the same."));
  return box;
}

// Code reads as code: its own lines below the other fields.
export function shownNode(node) {
  const { code, position, ...rest } = node;
  return code === undefined ? pretty(rest) : `${pretty(rest)}\n\n${code}`;
}
