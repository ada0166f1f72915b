// A definition as JSON, with every problem at its place. The server says what is wrong, not this page.

import { post } from "./api.js";
import { placeOf, placesIn } from "./code.js";
import { h, replace } from "./dom.js";

const LINE = 18;
const QUIET = 450; // milliseconds without a key before the server is asked

export function editor(text, { save, word }) {
  const gutter = h("div", { class: "gutter", "aria-hidden": "true" });
  const area = h("textarea", { spellcheck: "false", "aria-label": "Definition as JSON", "aria-describedby": "verdict", value: text });
  const verdict = h("p", { class: "hint", id: "verdict", role: "status" });
  const list = h("ul", { class: "problems" });
  const button = h("button", { type: "button", class: "main", onclick: keep }, word);
  let waiting = null, asked = 0;

  area.addEventListener("input", () => { marks([], []); clearTimeout(waiting); waiting = setTimeout(check, QUIET); });
  area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || event.shiftKey || !event.altKey) return; // Tab itself leaves the field: keyboards need a way out
    event.preventDefault();
    area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
  });

  function marks(errors, warnings) {
    const bad = new Map([...warnings.map((each) => [each.line, ["warn", each]]), ...errors.map((each) => [each.line, ["bad", each]])]);
    replace(gutter, area.value.split("\n").map((_, line) => {
      const [kind, found] = bad.get(line) ?? [];
      return h("div", { class: kind ?? null, title: found?.detail, onclick: found ? () => go(found) : null }, line + 1);
    }));
    gutter.scrollTop = area.scrollTop;
  }

  function go({ offset, line }) {
    area.focus();
    area.setSelectionRange(offset, offset);
    area.scrollTop = Math.max(0, (line - 4) * LINE);
  }

  function show(errors, warnings) {
    const places = placesIn(area.value);
    const at = (each) => ({ ...each, ...(each.line === undefined ? placeOf(places, each.pointer) : {}) });
    const [wrong, doubtful] = [errors.map(at), warnings.map(at)];
    marks(wrong, doubtful);
    const entry = (kind) => (each) => h("li", null, h("button", { type: "button", class: "plain", onclick: () => go(each) }, `Line ${each.line + 1}`),
      h("span", { class: kind }, `${kind === "wrong" ? "" : "Note: "}${each.detail}`), h("span", { class: "hint mono" }, each.pointer));
    replace(list, wrong.map(entry("wrong")), doubtful.map(entry("hint")));
    verdict.textContent = errors.length ? `${errors.length} ${errors.length === 1 ? "problem" : "problems"}` : "It can be saved and run.";
    button.disabled = errors.length > 0;
  }

  function unreadable(error) {
    const offset = Number(/position (\d+)/.exec(error.message)?.[1] ?? 0);
    const line = area.value.slice(0, offset).split("\n").length - 1;
    show([{ pointer: "", detail: `This is not JSON: ${error.message}`, line, offset }], []);
  }

  async function check() {
    const mine = asked += 1;
    try { JSON.parse(area.value); } catch (error) { unreadable(error); return; }
    try {
      const found = await post("/workflows/validate", area.value);
      if (mine === asked) show(found.errors, found.warnings);
    } catch (error) { if (mine === asked) verdict.textContent = error.message; }
  }

  async function keep() {
    button.disabled = true;
    try { await save(area.value); } catch (error) {
      if (error.errors?.length) show(error.errors, []);
      else verdict.textContent = error.message;
    }
    button.disabled = false;
  }

  marks([], []);
  check();
  return h("div", null, h("div", { class: "editor" }, gutter, area), h("div", { class: "head" }, h("span", { class: "grow" }, verdict), button), list);
}
