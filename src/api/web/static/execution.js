// One execution, live: the graph with its states, what ran when, and everything about the node that is chosen.

import { call, follow, get, inTurn } from "./api.js";
import { attemptsOf } from "./attempt.js";
import { badge, body, clock, figures, h, json, panel, refresh, replace, seconds, tabs, toast, when } from "./dom.js";
import { Graph } from "./graph.js";
import { kindsIn, placeOf } from "./parents.js";
import { Timeline } from "./timeline.js";

const FINAL = ["completed", "failed", "stopped"];
const RERUNS = 5; // shown, and a link to all of them where there are more
const STARTERS = ["map", "workflow"]; // kinds that start executions, as tools are of any kind

export async function execution(id) {
  const [first, graph] = await Promise.all([get(`/executions/${id}`), get(`/executions/${id}/graph`)]);
  const run = new Run(first, graph);
  return { title: `Execution ${id}`, content: run.content, shown: () => run.begin(), leave: () => run.end() };
}

class Run {
  constructor(found, graph) {
    const { workflow, inside, graph_definition: definition } = graph;
    Object.assign(this, { found, workflow, inside, definition, id: found.id });
    this.starts = definition.nodes.some((node) => STARTERS.includes(node.type) || node.tools?.length);
    this.told = {}; // of its state, since the rows were asked for
    this.children = { total: 0, completed: 0 }; // executions that it has started
    this.kinds = new Map(); // of the nodes of what has started it
    this.reruns = []; // the newest that were made from it
    this.attempts = new Map(); // by node and number
    this.running = new Map(); // by node
    this.entries = [];
    this.events = [];
    this.chosen = null;
    for (const name of ["read", "count", "findReruns"]) this[name] = inTurn(this[name].bind(this));
    this.head = h("div", { class: "head" });
    this.facts = h("div", { class: "body" });
    this.meter = h("i");
    this.track = h("div", { class: "meter" }, this.meter);
    this.error = h("div", { class: "stack" });
    this.detail = h("div");
    this.graph = new Graph(definition, { onChoose: (node) => this.choose(node) });
    this.timeline = new Timeline((node) => this.graph.choose(node));
    this.below = h("section", { class: "panel" });
    this.drawBelow();
    this.content = [this.head, this.error, h("section", { class: "panel", "aria-label": "Facts" }, this.track, this.facts),
      h("section", { class: "panel" }, h("header", null, h("h2", null, "Graph"), this.graph.tools), this.graph.box),
      h("div", { class: "two even" }, h("div", { class: "stack" }, panel("Timeline", body(this.timeline.element)), this.below), this.detail)];
    replace(this.detail, panel("Node", body(h("p", { class: "hint" }, "Choose a node to see its attempts, its logs and what it changed in the context."))));
    this.draw();
  }

  get isOver() { return FINAL.includes(this.found.status); }

  begin() {
    this.isShown = true;
    this.stop = follow(this.id, (name, data) => this.hear(name, data));
    this.load();
    if (this.found.parent_id) kindsIn(this.found.parent_id).then((kinds) => { this.kinds = kinds; this.later(); });
    this.clock = setInterval(() => { if (!this.isOver && this.running.size) this.draw(); }, 1000);
    this.counter = setInterval(() => { if (!this.isOver && this.starts && !document.hidden) this.count().catch(() => {}); }, 5000);
  }

  end() {
    this.isShown = false;
    this.stop?.();
    clearTimeout(this.wait);
    clearInterval(this.clock);
    clearInterval(this.counter);
  }

  hear(name, data) {
    if (name === "execution") {
      const hasChanged = data.status !== this.found.status;
      this.tell(data);
      if (data.status !== "running") this.running.clear();
      if (hasChanged) this.soon();
    } else if (name === "node") {
      this.attempts.set(`${data.node_id} ${data.attempt}`, data);
      if ((this.running.get(data.node_id)?.attempt ?? 0) <= data.attempt) this.running.delete(data.node_id);
      if (data.node_id === this.chosen) this.soon();
    } else if (name === "started" || name === "progress") {
      this.running.set(data.node_id, data);
    } else this.load();
    this.later();
  }

  // What is told while the rows are read is newer than they are.
  tell(data) {
    Object.assign(this.found, data);
    Object.assign(this.told, data);
  }

  // Many events share one drawing, and one reading of the rows.
  later() { this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); }); }
  soon() { clearTimeout(this.wait); this.wait = setTimeout(() => this.load(), 250); }

  async load() {
    try {
      await Promise.all([this.read(), this.count(), this.findReruns()]);
      this.isLost = false;
    } catch (error) { this.tryAgain(error); }
  }

  async read() {
    const here = `/executions/${this.id}`;
    this.told = {};
    const [found, chain, events] = await Promise.all([get(here), get(`${here}/chain`), get(`${here}/events`)]);
    this.found = { ...found, ...this.told };
    this.entries = chain.entries;
    this.events = events.events;
    for (const entry of chain.entries) this.attempts.set(`${entry.node_id} ${entry.attempt}`, entry);
    this.draw();
    this.drawBelow();
    this.drawDetail();
  }

  // Nothing else may happen that would have the rows read: it may have ended.
  tryAgain(error) {
    if (!this.isLost) toast(error.message);
    this.isLost = true;
    clearTimeout(this.wait);
    if (this.isShown && (error.status === 0 || error.status >= 500)) this.wait = setTimeout(() => this.load(), 3000);
  }

  async count() {
    if (!this.starts) return;
    const of = async (more) => (await get(`/executions?parent_id=${this.id}${more}&limit=1`)).total;
    const [total, completed] = await Promise.all([of(""), of("&status=completed")]);
    this.children = { total, completed: Math.min(total, completed) };
    this.later();
  }

  async findReruns() {
    this.reruns = (await get(`/executions?origin_id=${this.id}&limit=${RERUNS + 1}&count_to=1`)).executions;
    this.later();
  }

  states() {
    const states = {};
    for (const row of this.attempts.values()) {
      if ((states[row.node_id]?.attempt ?? 0) > row.attempt) continue;
      states[row.node_id] = { state: row.status, attempt: row.attempt, time: row.execution_time, path: row.path_taken };
    }
    for (const [node, told] of this.running) {
      const time = Math.max(0, (Date.now() - Date.parse(told.started_at)) / 1000);
      states[node] = { state: "running", attempt: told.attempt, time, progress: told.progress, message: told.message };
    }
    for (const node of this.running.keys()) this.concludeFrom(node, states);
    if (this.found.status === "completed") for (const node of this.definition.nodes) states[node.id] ??= { state: "skipped" };
    return states;
  }

  // A node without effects is told of with the commit of the next one. That the next one runs says that it has ended.
  concludeFrom(node, states) {
    const edges = this.definition.edges.filter((edge) => edge.to === node);
    if (edges.length !== 1 || states[edges[0].from]) return; // where several lead to it, any of them may have been skipped
    states[edges[0].from] = { state: "success", path: edges[0].condition ?? null };
    this.concludeFrom(edges[0].from, states);
  }

  spans() {
    const labels = new Map(this.definition.nodes.map((node) => [node.id, node.label ?? node.id]));
    const spans = [...this.attempts.values()].filter((row) => row.started_at).map((row) => {
      const start = Date.parse(row.started_at);
      const next = this.attempts.get(`${row.node_id} ${row.attempt + 1}`) ?? this.running.get(row.node_id);
      const isWait = row.status === "waiting" || row.status === "retry";
      const until = isWait ? (next ? Date.parse(next.started_at) : this.isOver ? undefined : Date.now()) : undefined;
      return { node: row.node_id, label: labels.get(row.node_id) ?? row.node_id, attempt: row.attempt, state: row.status, start, end: start + row.execution_time * 1000, until };
    });
    for (const [node, told] of this.running) {
      spans.push({ node, label: labels.get(node) ?? node, attempt: told.attempt, state: "running", start: Date.parse(told.started_at), end: Date.now() });
    }
    return spans.sort((a, b) => a.start - b.start);
  }

  draw() {
    const states = this.states();
    this.graph.paint(states);
    this.timeline.show(this.spans());
    this.drawHead();
    const done = Object.values(states).filter((each) => each.state === "success" || each.state === "skipped").length;
    const part = this.isOver && this.found.status === "completed" ? 1 : done / this.definition.nodes.length;
    this.meter.style.width = `${Math.round(part * 100)}%`;
    this.track.dataset.state = this.found.status;
    this.track.setAttribute("role", "progressbar");
    this.track.setAttribute("aria-label", "Nodes done");
    this.track.setAttribute("aria-valuenow", String(Math.round(part * 100)));
    const { found } = this;
    refresh(this.facts, figures([
      ["Nodes", `${Object.values(states).filter((each) => each.state === "success").length} of ${this.definition.nodes.length}`],
      ["Time", found.execution_time !== null ? seconds(found.execution_time) : found.started_at ? seconds((Date.now() - Date.parse(found.started_at)) / 1000) : ""],
      ["Waits for", found.waiting_for === "review" ? h("a", { href: "#/reviews" }, "review") : found.waiting_for ?? ""], ["Wakes", found.wake_at && !this.isOver ? when(found.wake_at) : ""],
      ["Mode", found.mode], ["Created", when(found.created_at)], ["Started", when(found.started_at)], ["Ended", when(found.completed_at)],
      ["Version", `v${found.workflow_version}`],
      ["Started by", found.parent_id ? h("span", null, h("a", { href: `#/executions/${found.parent_id}` }, `#${found.parent_id}`), ` ${placeOf(found, this.kinds)}`) : ""],
      ["Has started", this.startedLink()],
      ["Again from", found.origin_id ? h("a", { href: `#/executions/${found.origin_id}` }, `#${found.origin_id}`) : ""],
      ["Run again as", this.rerunLinks()], ["Task", h("span", { class: "mono" }, found.task_id)],
    ]));
    this.drawError();
  }

  rerunLinks() {
    if (!this.reruns.length) return "";
    const rest = this.reruns.length > RERUNS ? h("a", { href: `#/executions?origin_id=${this.id}` }, "all") : null;
    return h("span", null, this.reruns.slice(0, RERUNS).map((each) => [h("a", { href: `#/executions/${each.id}` }, `#${each.id}`), " "]), rest);
  }

  startedLink() {
    const { total, completed } = this.children;
    if (!total) return "";
    return h("span", null, h("a", { href: `#/executions?parent_id=${this.id}` }, `${total.toLocaleString()} ${total === 1 ? "execution" : "executions"}`), completed < total ? ` (${completed.toLocaleString()} completed)` : "");
  }

  drawHead() {
    const { found, workflow } = this;
    const key = `${found.status} ${found.requested} ${this.chosen}`;
    if (this.headKey === key) return;
    this.headKey = key;
    replace(this.head, h("div", { class: "grow" }, h("div", { class: "crumb" }, h("a", { href: "#/executions" }, "Executions"), " / ", h("a", { href: `#/workflows/${found.workflow_id}` }, workflow), this.inside.map((each) => ` / ${each}`)),
      h("h1", null, `Execution ${found.id}`)), badge(found.status), found.requested ? badge("paused", `${found.requested} requested`) : null,
    h("div", { class: "buttons" }, this.buttons()));
  }

  // What its status allows, and nothing else.
  buttons() {
    const act = (name, word, kind, question) => h("button", { type: "button", class: kind, "data-act": name, onclick: () => this.act(name, question) }, word);
    const { status, requested } = this.found;
    const compare = h("a", { class: "button", href: `#/executions/${this.id}/diff${this.found.origin_id ? `/${this.found.origin_id}` : ""}` }, "Compare");
    if (this.isOver) {
      return [status === "failed" ? act("retry", "Retry", "main") : null, compare,
        this.chosen ? act("rerun", `Rerun from ${this.nameOf(this.chosen)}`, "") : h("span", { class: "hint" }, "Choose a node to rerun from it")];
    }
    const canResume = status === "paused" || requested === "pause";
    return [canResume ? act("resume", "Resume", "main") : act("pause", "Pause", ""), act("stop", "Stop", "risk", "Stop this execution? It cannot go on afterwards.")];
  }

  nameOf(nodeId) {
    const name = this.definition.nodes.find((node) => node.id === nodeId)?.label ?? nodeId;
    return [...name].length > 24 ? `${[...name].slice(0, 23).join("")}…` : name;
  }

  async act(name, question) {
    if (question && !window.confirm(question)) return;
    const isNew = name === "retry" || name === "rerun";
    try {
      const answer = await call("POST", `/executions/${this.id}/${name}`, name === "rerun" ? { from_node: this.chosen } : undefined, isNew ? { Prefer: "respond-async" } : {});
      if (answer.id !== this.id) { location.hash = `#/executions/${answer.id}`; return; }
      this.tell(answer);
      this.headKey = null;
      this.soon();
    } catch (error) { toast(error.message); }
    this.draw();
  }

  drawError() {
    const { error } = this.found;
    const key = error ? `${error.node_id} ${error.message}` : "";
    if (this.errorKey === key) return;
    this.errorKey = key;
    replace(this.error, error ? h("div", { class: "note", "data-tone": "red", role: "alert" }, h("strong", null, error.type), " at ",
      h("button", { type: "button", class: "plain", onclick: () => this.graph.choose(error.node_id) }, this.nameOf(error.node_id ?? "")),
      h("pre", { class: "mono" }, error.message)) : []);
    if (error && !this.chosen && error.node_id) this.graph.choose(error.node_id);
  }

  drawBelow() {
    const kept = this.below.querySelector('[aria-selected="true"]')?.dataset.tab ?? "result";
    const life = () => body(this.events.length ? h("ul", { class: "events" }, this.events.map((event) => h("li", null,
      h("time", { datetime: event.at, title: event.at }, clock(event.at)), h("span", null, h("strong", null, event.kind.replaceAll("_", " ")), event.actor ? ` by ${event.actor}` : "", " ", h("span", { class: "hint" }, toldOf(event.data)))))) : h("p", { class: "hint" }, "It has not been handed off, paused, recovered or reviewed."));
    replace(this.below, tabs([["result", "Result", () => body(this.found.result ? json(this.found.result) : h("p", { class: "hint" }, this.isOver ? "There is none." : "It has not ended yet."))],
      ["life", `Hand-offs and events (${this.events.length})`, life]], kept));
  }

  choose(node) {
    this.chosen = node;
    this.headKey = null;
    this.drawHead();
    this.drawDetail();
    if (window.innerWidth < 980 && this.isShown) this.detail.scrollIntoView({ block: "start", behavior: "smooth" });
    if (!this.entries.some((entry) => entry.node_id === node)) this.soon();
  }

  drawDetail() {
    if (!this.chosen) return;
    const node = this.definition.nodes.find((each) => each.id === this.chosen) ?? { id: this.chosen, type: "" };
    replace(this.detail, attemptsOf(node, this.entries.filter((entry) => entry.node_id === node.id), this.states()[node.id]));
  }
}

const toldOf = (data) => Object.entries(data ?? {}).filter(([name, value]) => value !== null && name !== "lease_token")
  .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
