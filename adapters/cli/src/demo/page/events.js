// The event stream: which paths are subscribed, and the last events that arrived.

const KEPT_EVENTS = 200;

const JOB_EVENTS = ["jobScheduled", "jobStarted", "jobCompleted", "jobFailed"];
/** Which event types a path offers is known by its first name. */
const EVENTS_OF = { jobs: JOB_EVENTS, "job-definitions": ["jobStatistics"], actors: ["actorCheckpoint"] };

const EVENT_TONES = { jobScheduled: "amber", jobStarted: "blue", jobCompleted: "green", jobFailed: "red", actorCheckpoint: "violet" };

function eventSummary(message) {
  const data = message.data ?? {};
  switch (message.eventType) {
    case "jobCompleted": return `${data.jobDefinitionId}, ${formatDuration(data.elapsedMs)}`;
    case "jobFailed": return `${data.jobDefinitionId}: ${data.error}`;
    case "jobStatistics": return `${data.jobDefinitionId}: ${data.completed} completed, ${data.failed} failed`;
    case "actorCheckpoint": return `${data.actorType} ${String(data.actorId).slice(0, 8)}`;
    default: return data.jobDefinitionId ?? message.path;
  }
}

class EventStream {
  #connection; #list; #empty; #toggles; #problem; #paths = new Map(); #kept = []; #drawn = 0; #received = 0; #typed = 0;

  constructor(connection, elements) {
    this.#connection = connection;
    this.#list = elements.list;
    this.#empty = elements.empty;
    this.#toggles = elements.toggles;
    this.#problem = elements.problem;
    this.add("jobs", "Jobs", true);
    this.add("job-definitions", "Job statistics", false);
    this.add("actors", "Actor checkpoints", true);
  }

  /** Offers a path; its button turns the subscription on and off. `mine`: typed by the user, gone when turned off. */
  add(path, title, wanted, mine = false) {
    if (this.#paths.has(path)) return this.#want(path, true);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    button.textContent = title;
    button.title = path;
    button.onclick = () => this.#want(path, button.getAttribute("aria-pressed") !== "true");
    this.#toggles.append(button);
    this.#paths.set(path, { path, button, mine, id: mine ? `path-${++this.#typed}` : path, wanted: false, subscribed: false });
    this.#want(path, wanted);
  }

  #want(path, wanted) {
    const entry = this.#paths.get(path);
    entry.wanted = wanted;
    entry.button.setAttribute("aria-pressed", String(wanted));
    if (wanted) this.#subscribe(entry);
    else {
      if (entry.subscribed) this.#connection.request({ type: "unsubscribeEvents", ids: [entry.id] }, () => {});
      entry.subscribed = false;
      if (entry.mine) this.#drop(entry);
    }
  }

  #drop(entry) {
    entry.button.remove();
    this.#paths.delete(entry.path);
  }

  #subscribe(entry) {
    if (!this.#connection.live || entry.subscribed) return;
    entry.subscribed = true;
    const events = EVENTS_OF[entry.path.split("/")[0]] ?? ["jobCompleted"];
    this.#problem("");
    this.#connection.request({ type: "subscribeEvents", subscriptions: [{ id: entry.id, path: entry.path, events }] }, (answer) => {
      if (answer.type !== "error") return;
      this.#problem(answer.message);
      entry.subscribed = false;
      entry.wanted = false;
      entry.button.setAttribute("aria-pressed", "false");
      if (entry.mine) this.#drop(entry);
    });
  }

  resubscribe() {
    for (const entry of this.#paths.values()) {
      entry.subscribed = false;
      if (entry.wanted) this.#subscribe(entry);
    }
  }

  receive(message) {
    const warning = message.type === "warning";
    if (!warning && message.type !== "event") return false;
    this.#kept.push({ message, warning, at: message.timestamp ?? new Date().toISOString() });
    this.#received++;
    if (this.#kept.length > KEPT_EVENTS) this.#kept.shift();
    return true;
  }

  clear() {
    this.#kept = [];
    this.#drawn = this.#received;
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  draw() {
    const fresh = Math.min(this.#received - this.#drawn, this.#kept.length);
    this.#drawn = this.#received;
    if (!fresh) return;
    this.#empty.hidden = true;
    const items = this.#kept.slice(-fresh).reverse().map((kept) => this.#item(kept));
    const held = this.#list.scrollTop > 0 ? this.#list.scrollHeight : 0;
    this.#list.prepend(...items);
    while (this.#list.childElementCount > KEPT_EVENTS) this.#list.lastElementChild.remove();
    // Whoever scrolled down reads: what is read stays in place.
    if (held) this.#list.scrollTop += this.#list.scrollHeight - held;
    else if (fresh <= 6) items.forEach((item) => flash(item, "--news", 900));
  }

  #item({ message, warning, at }) {
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.dateTime = at;
    time.textContent = formatTime(at);
    const what = document.createElement("span");
    what.className = "what";
    if (warning) {
      const line = document.createElement("div");
      line.className = "warning";
      what.textContent = message.message;
      what.style.whiteSpace = "normal";
      line.append(time, what);
      item.append(line);
      return item;
    }
    const type = document.createElement("b");
    type.className = "status";
    type.dataset.tone = EVENT_TONES[message.eventType] ?? "grey";
    type.textContent = message.eventType;
    const more = document.createElement("span");
    more.textContent = eventSummary(message);
    what.append(type, more);
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.append(time, what);
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.childElementCount > 1) return;
      const whole = document.createElement("pre");
      whole.textContent = JSON.stringify(message, null, 2);
      details.append(whole);
    });
    item.append(details);
    return item;
  }
}
