// An author's code with the line marked where it broke; and where in a text of JSON a pointer points to.

import { h } from "./dom.js";

// The last line of the author's own code that a traceback names.
export function brokenLine(traceback) {
  const found = [...(traceback ?? "").matchAll(/File "<node>", line (\d+)/g)];
  return found.length ? Number(found[found.length - 1][1]) : null;
}

export function codeLines(code, marked) {
  const box = h("div", { class: "code-lines", tabindex: "0", role: "group", "aria-label": marked ? `Code; line ${marked} is marked` : "Code" });
  code.split("\n").forEach((line, place) => {
    box.append(h("div", { class: place + 1 === marked ? "marked" : null }, h("b", { "aria-hidden": "true" }, place + 1), line || " "));
  });
  if (marked) requestAnimationFrame(() => { box.scrollTop = Math.max(0, (box.children[marked - 1]?.offsetTop ?? 0) - box.offsetTop - 80); });
  return box;
}

// For each JSON Pointer the line (from 0) and offset where its value stands. Stops where the text is no JSON.
export function placesIn(text) {
  const places = new Map();
  let at = 0, line = 0, counted = 0;
  const lineAt = (offset) => { while (counted < offset) { if (text[counted] === "\n") line += 1; counted += 1; } return line; };
  const space = () => { while (" \n\r\t".includes(text[at]) && at < text.length) at += 1; };
  const string = () => {
    const from = at;
    at += 1;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at += 1;
    return JSON.parse(text.slice(from, at));
  };
  const escape = (key) => key.replaceAll("~", "~0").replaceAll("/", "~1");
  const value = (pointer, key) => {
    space();
    places.set(pointer, { line: lineAt(key ?? at), offset: key ?? at });
    if (text[at] === "{") {
      at += 1;
      for (space(); text[at] === '"'; space()) {
        const from = at;
        const name = string();
        space();
        at += 1;
        value(`${pointer}/${escape(name)}`, from);
        space();
        if (text[at] === ",") at += 1;
      }
      at += 1;
    } else if (text[at] === "[") {
      at += 1;
      let place = 0;
      for (space(); at < text.length && text[at] !== "]"; space()) {
        value(`${pointer}/${place}`);
        place += 1;
        space();
        if (text[at] === ",") at += 1;
      }
      at += 1;
    } else if (text[at] === '"') string();
    else { const from = at; while (at < text.length && !",]} \n\r\t".includes(text[at])) at += 1; if (from === at) throw new SyntaxError("no value"); }
  };
  try { value(""); } catch { /* what stands before is known */ }
  return places;
}

// The place of a pointer, or of the nearest thing above it that is there: a missing field is its object's problem.
export function placeOf(places, pointer) {
  for (let each = pointer; ; each = each.slice(0, each.lastIndexOf("/"))) {
    if (places.has(each)) return places.get(each);
    if (!each) return { line: 0, offset: 0 };
  }
}
