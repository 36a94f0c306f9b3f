// One WebSocket that comes back: connects, authenticates, answers pings, and after a loss tries again with
// exponential backoff and jitter. What to subscribe to is the business of `onReady`.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
/** A connection that lived this long starts the backoff anew. */
const STEADY_AFTER_MS = 5_000;
/** The server pings every 30 s: after this much silence the peer is gone, whatever TCP believes. */
const SILENCE_MS = 75_000;

class Connection {
  #url; #token; #hooks; #socket = null; #failures = 0; #timer = 0; #watch = 0; #steady = 0; #requests = 0;
  #pending = new Map();
  live = false;

  /** Hooks: `onState(state, detail)`, `onReady()`, `onMessage(message)`. */
  constructor(url, token, hooks) {
    this.#url = url;
    this.#token = token;
    this.#hooks = hooks;
    addEventListener("online", () => this.retryNow());
  }

  connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#hooks.onState("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#hooks.onState("authenticating");
      this.send({ type: "auth", token: this.#token });
      this.#listen();
    };
    socket.onmessage = (event) => {
      if (socket !== this.#socket) return;
      this.#listen();
      this.#receive(JSON.parse(event.data));
    };
    socket.onclose = (event) => { if (socket === this.#socket) this.#lost(event); };
  }

  retryNow() {
    if (this.#timer) this.connect();
  }

  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Sends with a `requestId`; `answered(message)` is called with the answer or the error that carries it. */
  request(message, answered) {
    const requestId = `r${++this.#requests}`;
    this.#pending.set(requestId, answered);
    this.send({ ...message, requestId });
  }

  #receive(message) {
    if (message.type === "ping") return this.send({ type: "pong" });
    if (message.type === "authenticated") {
      this.live = true;
      this.#steady = setTimeout(() => { this.#failures = 0; }, STEADY_AFTER_MS);
      this.#hooks.onState("live");
      this.#hooks.onReady();
    }
    this.#hooks.onMessage(message);
    const answered = this.#pending.get(message.requestId);
    if (answered) {
      this.#pending.delete(message.requestId);
      answered(message);
    }
  }

  #listen() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => { this.#socket?.close(); this.#lost({ code: 0, reason: "" }); }, SILENCE_MS);
  }

  #lost(event) {
    this.#socket = null;
    this.live = false;
    this.#pending.clear();
    clearTimeout(this.#watch);
    clearTimeout(this.#steady);
    const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures++);
    const delay = ceiling * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.connect(), delay);
    this.#hooks.onState("waiting", { until: performance.now() + delay, code: event.code });
  }
}
