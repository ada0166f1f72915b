// The public API and nothing else: calls, the stream of one execution, the notices of all.

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.status = status;
    this.errors = problem.errors ?? [];
    this.problem = problem;
  }
}

const PATIENCE_MS = 30_000;  // of a question: what asks in turn must not wait for one answer for ever

let onSignIn = () => {};
export const whenSignedOut = (call) => { onSignIn = call; };

export async function call(method, path, content, headers = {}) {
  const options = { method, headers: { Accept: "application/json", ...headers }, credentials: "same-origin" };
  if (content !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = typeof content === "string" ? content : JSON.stringify(content);
  }
  if (method === "GET") options.signal = AbortSignal.timeout(PATIENCE_MS);
  let answer, text;
  try {
    answer = await fetch(path, options);
    text = await answer.text();
  } catch {
    throw new Refused(0, { detail: "The server does not answer." });
  }
  let value = null;
  try { value = text ? JSON.parse(text) : null; } catch { value = { detail: text.slice(0, 300) }; }
  if (answer.status === 401 && !(method === "POST" && path === "/sign-in")) onSignIn();
  if (!answer.ok) throw new Refused(answer.status, value ?? {});
  return value === null || typeof value !== "object" ? value : Object.defineProperty(value, "etag", { value: answer.headers.get("ETag") });
}

export const get = (path) => call("GET", path);
export const post = (path, content) => call("POST", path, content);

// Everything of a list, a page at a time.
export async function all(path, name, limit = 500, most = 5000) {
  const found = [];
  for (;;) {
    const page = await get(`${path}?limit=${limit}&skip=${found.length}`);
    found.push(...page[name]);
    if (found.length >= page.total || page[name].length === 0 || found.length >= most) return found;
  }
}

// Whether it is worth trying again; if not, the way in is shown.
async function isStillIn() {
  try { await get("/sign-in"); } catch (error) { return error.status !== 401; }
  return true;
}

// One run of it at a time, so that no answer overtakes a newer one. Whoever asks meanwhile waits for one more run
// afterwards, which all of them share.
export function inTurn(work) {
  let current = null, next = null;
  const begin = () => {
    next = null;
    current = work().finally(() => { current = null; });
    return current;
  };
  return () => {
    if (!current && !next) return begin();
    next ??= current.then(begin, begin);
    return next;
  };
}

// One execution as it happens. The browser itself comes back with Last-Event-ID when the connection breaks; where the
// server has refused that, everything is told once more.
export function follow(executionId, on) {
  let source = null, later = null, isWatched = true;
  const again = async () => { if (await isStillIn() && isWatched) open(); };
  const open = () => {
    source = new EventSource(`/executions/${executionId}/stream`);
    for (const name of ["execution", "node", "started", "progress", "done"]) {
      source.addEventListener(name, (event) => {
        if (name === "done") source.close();
        on(name, JSON.parse(event.data));
      });
    }
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) later = setTimeout(again, 2000); };
  };
  open();
  return () => { isWatched = false; clearTimeout(later); source.close(); };
}

const BACK = "back"; // after a while without notices: anything may have happened
const listeners = new Set();
let lastEventId = null;

function listen(call) {
  listeners.add(call);
  return () => listeners.delete(call);
}

// Many notices share one call, which comes soon after the first of them: while much happens, too. It is waited for: what
// comes meanwhile is worth one more call, however long the first one takes.
export function onNews(call, concerns = () => true) {
  let soon = null, isBusy = false, isMissed = false, isHeard = true;
  const wait = () => { soon ??= setTimeout(run, 300); };
  const run = async () => {
    soon = null;
    [isBusy, isMissed] = [true, false];
    try { await call(); } finally {
      isBusy = false;
      if (isMissed && isHeard) wait();
    }
  };
  const stop = listen((notice) => {
    if (notice.type !== BACK && (notice.type === "task_progress" || !concerns(notice))) return;
    if (isBusy) isMissed = true;
    else wait();
  });
  return () => { isHeard = false; stop(); clearTimeout(soon); };
}

export function connect(onState, isAgain = false) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const since = lastEventId ? `?last_event_id=${encodeURIComponent(lastEventId)}` : "";
  const socket = new WebSocket(`${scheme}//${location.host}/ws${since}`);
  const tell = (notice) => { for (const call of listeners) call(notice); };
  socket.onopen = () => {
    onState("on");
    if (isAgain) tell({ type: BACK });
  };
  socket.onmessage = (message) => {
    const notice = JSON.parse(message.data);
    lastEventId = notice.event_id ?? lastEventId;
    tell(notice);
  };
  socket.onclose = () => {
    onState("lost");
    setTimeout(async () => { if (await isStillIn()) connect(onState, true); }, 2000);
  };
}
