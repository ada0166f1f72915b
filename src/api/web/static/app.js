// The frame: which view is shown, who is told of what happens, and the way in where keys are asked for.

import { connect, get, inTurn, onNews, post, whenSignedOut } from "./api.js";
import { compare } from "./compare.js";
import { body, empty, h, panel, replace, toast } from "./dom.js";
import { execution } from "./execution.js";
import { executions } from "./executions.js";
import { health } from "./health.js";
import { reviews } from "./reviews.js";
import { schedules } from "./schedules.js";
import { triggers } from "./triggers.js";
import { newWorkflow, workflow, workflows } from "./workflows.js";

const ROUTES = [
  [/^#\/workflows$/, workflows, "Workflows"], [/^#\/workflows\/new$/, newWorkflow, "New workflow"], [/^#\/workflows\/(\d+)$/, workflow, "Workflow"],
  [/^#\/executions(?:\?(.*))?$/, executions, "Executions"], [/^#\/executions\/(\d+)$/, execution, "Execution"],
  [/^#\/executions\/(\d+)\/diff(?:\/(\d+))?$/, compare, "Compare executions"],
  [/^#\/schedules$/, schedules, "Schedules"], [/^#\/reviews$/, reviews, "Reviews"], [/^#\/triggers$/, triggers, "Triggers"], [/^#\/health$/, health, "Health"],
];

const main = document.getElementById("main");
let leave = () => {};
let turn = 0;

async function show() {
  const hash = location.hash || "#/workflows";
  const [route, found] = ROUTES.map((each) => [each, each[0].exec(hash)]).find(([, match]) => match) ?? [null, null];
  leave();
  leave = () => {};
  const mine = turn += 1;
  for (const link of document.querySelectorAll("#nav a")) {
    if (hash.startsWith(link.getAttribute("href"))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!route) { replace(main, empty(h("h1", null, "There is no such page."), h("a", { href: "#/workflows" }, "Workflows"))); return; }
  document.title = `${route[2]} · Nova`;
  const isHere = () => mine === turn;
  try {
    const view = await route[1](...found.slice(1));
    if (!isHere()) { view.leave?.(); return; }
    leave = view.leave ?? leave;
    if (view.title) document.title = `${view.title} · Nova`;
    replace(main, view.content);
    view.shown?.();
  } catch (error) {
    if (!isHere() || error.status === 401) return;
    replace(main, panel(h("h1", null, "It cannot be shown"), body(h("p", { role: "alert" }, error.message), h("button", { type: "button", onclick: show }, "Try again"))));
  }
}

function signIn() {
  if (document.getElementById("key")) return; // somebody may be writing in it
  turn += 1;
  leave();
  leave = () => {};
  const input = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const enter = async (event) => {
    event.preventDefault();
    try {
      await post("/sign-in", { key: input.value });
      location.reload();
    } catch (error) { wrong.textContent = error.message; }
  };
  replace(main, h("form", { class: "panel sign-in", onsubmit: enter }, h("header", null, h("h1", null, "Sign in")), body(
    h("p", { class: "hint" }, "This server asks for a key. An operator makes one with “python -m src keys create”."),
    h("div", { class: "field" }, h("label", { for: "key" }, "Key"), input, wrong), h("button", { class: "main" }, "Sign in"))));
  input.focus();
}

const count = document.getElementById("review-count");
const countReviews = inTurn(async () => {
  try {
    const { total } = await get("/reviews?limit=1");
    count.hidden = total === 0;
    replace(count, total, h("span", { class: "sr" }, " waiting"));
  } catch { count.hidden = true; }
});

const live = document.getElementById("live");
const STATES = { on: "live", lost: "reconnecting" };
function showState(state) {
  live.dataset.state = state;
  live.lastElementChild.textContent = STATES[state] ?? state;
}

whenSignedOut(signIn);
window.addEventListener("hashchange", () => { show(); main.focus({ preventScroll: true }); window.scrollTo(0, 0); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
onNews(countReviews);

// Where a key is asked for and there is none, the way in is all there is.
async function begin() {
  try {
    const { needs_key: needsKey } = await get("/sign-in");
    if (needsKey) document.querySelector(".bar-end").append(h("button", { type: "button", class: "plain", onclick: signOut }, "Sign out"));
  } catch (error) { if (error.status === 401) return; }
  show();
  countReviews();
  connect(showState);
}

async function signOut() {
  try {
    await post("/sign-out");
    location.reload();
  } catch (error) { toast(error.message); }
}

begin();
