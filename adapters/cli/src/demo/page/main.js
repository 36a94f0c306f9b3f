// Puts the page together: one connection, one live query, one event stream, drawn once a frame.

const PRESETS = [
  { title: "Open orders", query: { edge: "orders", filter: "status in ['pending', 'processing']", orderBy: "createdAt desc", limit: 50 } },
  { title: "Last 2 minutes", query: { edge: "orders", filter: "createdAt > now - 2 minutes", orderBy: "createdAt desc", limit: 50 } },
  { title: "Largest", query: { edge: "orders", filter: "status != 'cancelled'", orderBy: "total desc", limit: 20 } },
  { title: "Express or gift", query: { edge: "orders", filter: "tags anyof ['express', 'gift'] and not status in ['delivered', 'cancelled']", orderBy: "updatedAt desc", limit: 50 } },
  { title: "All orders", query: { edge: "orders", orderBy: "number desc" } },
  { title: "Running jobs", query: { edge: "jobs", filter: "status in ['pending', 'running']", orderBy: "scheduledAt desc" } },
  { title: "Failed jobs", query: { edge: "jobs", filter: "status == 'failed' and finishedAt > now - 10 minutes", orderBy: "finishedAt desc", limit: 50 } },
];

const by = (id) => document.getElementById(id);
const counted = new Intl.NumberFormat();

// Drawing: whatever arrives marks the page dirty, and a frame draws what changed since the last one.
let dirty = false, paused = false, drawnQuery = null;
function redraw() {
  if (dirty || paused) return;
  dirty = true;
  const draw = () => requestAnimationFrame(() => {
    dirty = false;
    if (paused) return;
    drawRows();
    events.draw();
  });
  if (rate.busy) setTimeout(draw, BUSY_PAUSE_MS);
  else draw();
}

/** Above this many messages a second the display is refreshed a few times a second, without effects. */
const BUSY_RATE = 60;
const BUSY_PAUSE_MS = 150;

const rate = {
  buckets: new Array(60).fill(0),
  busy: false,
  count() { this.buckets[this.buckets.length - 1]++; },
  tick() {
    const recent = this.buckets.slice(-5).reduce((sum, n) => sum + n, 0) / 5;
    this.busy = this.buckets[this.buckets.length - 1] > BUSY_RATE;
    by("rate").textContent = recent >= 10 ? counted.format(Math.round(recent)) : recent.toFixed(1);
    const top = Math.max(...this.buckets, 4);
    const points = this.buckets.map((n, at) => `${((at / 59) * 120).toFixed(1)},${(23 - (n / top) * 22).toFixed(1)}`);
    by("spark").firstElementChild.setAttribute("d", `M${points.join("L")}`);
    this.buckets.shift();
    this.buckets.push(0);
  },
};

const url = new URL("ws", location.href);
url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
const connection = new Connection(url.href, "demo", {
  onState: showState,
  onReady: () => { live.resync(); events.resubscribe(); },
  onMessage(message) {
    rate.count();
    if (events.receive(message)) redraw();
    else if ("id" in message) live.receive(message);
  },
});

const live = new LiveQuery(connection, {
  onRows: redraw,
  onAccepted: () => { editor.clear(); refused = false; markStale(); },
  onRefused: (error) => { editor.fail(error.message); refuse(); },
  onEnded: (error) => { by("query-error").textContent = `${error.code}: ${error.message}`; markStale(); },
});
const table = new Table(by("table"), by("scroll"), (orderBy) => editor.orderBy(orderBy));
const editor = new Editor(by("form"), (query) => {
  showPreset(query);
  by("sent").textContent = JSON.stringify(live.message(query, "my-query"), null, 2);
  live.show(query);
}, refuse);
const events = new EventStream(connection, {
  list: by("stream"), empty: by("no-events"), toggles: by("toggles"),
  problem(text) {
    by("path-error").textContent = text;
    by("path").toggleAttribute("aria-invalid", Boolean(text));
    if (text) by("path").setAttribute("aria-invalid", "true");
  },
});

function drawRows() {
  const shown = live.current;
  if (!shown) return;
  const { query, rows, totalCount, capped } = shown;
  // The same query after a reconnect is drawn as changes to what is there; another query is drawn anew.
  const key = JSON.stringify(query);
  const fresh = key !== drawnQuery;
  table.draw(query.edge, rows, fresh, rate.busy);
  if (fresh) {
    drawnQuery = key;
    table.showOrder(query.orderBy ?? "");
    by("scroll").scrollTop = 0;
    showFields(rows);
  }
  const counts = by("counts");
  const total = document.createElement("b");
  total.textContent = counted.format(totalCount);
  const one = totalCount === 1;
  counts.replaceChildren(total, ` ${one ? query.edge.replace(/s$/, "") : query.edge} match${one ? "es" : ""}`);
  if (capped && rows.size > 0) counts.append(`, the first ${counted.format(rows.size)} are shown`);
  by("tally").textContent = `${counted.format(shown.added)} added · ${counted.format(shown.updated)} changed · ${counted.format(shown.removed)} removed`;
  by("empty").hidden = totalCount > 0;
  by("empty").textContent = `No ${query.edge} match right now. The table fills as soon as one does.`;
  markStale();
}

/** Whether the query in the fields is wrong: the rows are those of the one before. */
let refused = false;
function refuse() {
  refused = true;
  markStale();
}

/** Rows of a lost connection, of a query that the server ended, or of another query than the one in the fields are dimmed. */
function markStale() {
  by("scroll").classList.toggle("stale", live.current !== null && (live.current.id === null || refused));
}

/** Every path of the first rows, to be put into the filter. */
function showFields(rows) {
  const paths = new Set();
  const walk = (value, prefix) => {
    for (const [name, inner] of Object.entries(value)) {
      const path = prefix + (/^[A-Za-z_]\w*$/.test(name) ? name : `\`${name}\``);
      if (inner && typeof inner === "object" && !Array.isArray(inner)) walk(inner, `${path}.`);
      else paths.add(path);
    }
  };
  for (const id of rows.ids.slice(0, 20)) walk(rows.node(id), "");
  if (!paths.size) return;
  by("names").replaceChildren(...[...paths].map((path) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = path;
    button.onclick = () => editor.insert(path);
    return button;
  }));
}

const presetButtons = PRESETS.map(({ title, query }) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "chip";
  button.textContent = title;
  button.onclick = () => editor.fill(query);
  by("presets").append(button);
  return { button, key: JSON.stringify(query) };
});
function showPreset(query) {
  const key = JSON.stringify(query);
  for (const preset of presetButtons) preset.button.setAttribute("aria-pressed", String(preset.key === key));
}

let countdown = 0;
function showState(state, detail) {
  clearInterval(countdown);
  by("state").dataset.state = state;
  by("retry").hidden = state !== "waiting";
  const text = by("state-text");
  const label = { connecting: "Connecting…", authenticating: "Authenticating…", live: "Live" }[state];
  if (label) { text.textContent = label; return; }
  live.connectionLost();
  markStale();
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((detail.until - performance.now()) / 1000));
    text.textContent = seconds > 1 ? `Lost: again in ${seconds} s` : "Lost: trying again";
  };
  tick();
  countdown = setInterval(tick, 1000);
}

by("retry").onclick = () => connection.retryNow();
by("clear").onclick = () => events.clear();
by("pause").onclick = () => {
  paused = !paused;
  by("pause").setAttribute("aria-pressed", String(paused));
  by("pause").textContent = paused ? "Paused" : "Pause";
  redraw();
};
by("path-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const path = by("path").value.trim();
  if (!path) return;
  by("path").value = "";
  events.add(path, path, true, true);
});

setInterval(() => rate.tick(), 1000);
rate.tick();
editor.fill(PRESETS[0].query);
connection.connect();
