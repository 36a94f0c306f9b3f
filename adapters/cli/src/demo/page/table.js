// Draws rows into a table: a row's element lives as long as the row, cells that changed are highlighted, rows that
// moved glide, rows that left fade. All text goes in as text.

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
/** Above this many rows, or while the page is hidden, nothing glides: measuring would cost more than it shows. */
const GLIDING_ROWS = 120;

const money = new Map();
function formatMoney(value, currency) {
  if (typeof value !== "number") return "";
  if (!money.has(currency)) money.set(currency, new Intl.NumberFormat(undefined, { style: "currency", currency }));
  return money.get(currency).format(value);
}
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
function formatTime(value) {
  const date = new Date(value ?? NaN);
  return Number.isNaN(date.getTime()) ? "" : clock.format(date);
}
function formatDuration(ms) {
  if (typeof ms !== "number") return "";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const TONES = {
  pending: "amber", processing: "blue", shipped: "violet", delivered: "green", cancelled: "grey",
  running: "blue", completed: "green", failed: "red",
};

function statusCell(cell, status) {
  const label = document.createElement("span");
  label.className = "status";
  label.dataset.tone = TONES[status] ?? "grey";
  label.textContent = status ?? "";
  cell.replaceChildren(label);
}
function tagsCell(cell, tags) {
  cell.replaceChildren(...tags.split("\n").filter(Boolean).map((tag) => {
    const label = document.createElement("span");
    label.className = "tag";
    label.textContent = tag;
    return label;
  }));
}

/** `text` is what is compared and shown; `draw` shows it some other way; `path` is what its heading orders by; `width`
 *  in rem is the least, so that columns keep still while their text changes: what room is left is shared. Columns that are `wide`,
 *  `wider` or `narrow-off` are there only where style.css says that all of these widths fit. */
const COLUMNS = {
  orders: [
    { title: "Number", width: 6.2, path: "number", css: "mono", text: (n) => (n.number === undefined ? n.id : `#${n.number}`) },
    { title: "Status", width: 7.4, path: "status", text: (n) => n.status ?? "", draw: statusCell },
    { title: "Customer", width: 8.5, path: "customer.name", text: (n) => n.customer?.name ?? "" },
    { title: "Tags", width: 11.5, path: "tags", css: "wide", text: (n) => (n.tags ?? []).join("\n"), draw: tagsCell },
    { title: "Items", width: 4.8, path: "items", css: "num soft wider", text: (n) => String(n.items?.length ?? ""), hint: (n) => (n.items ?? []).join("\n") },
    { title: "Total", width: 6.6, path: "total", css: "num", text: (n) => formatMoney(n.total, n.currency ?? "EUR") },
    { title: "Created", width: 6.1, path: "createdAt", css: "num soft narrow-off", text: (n) => formatTime(n.createdAt), hint: (n) => n.createdAt },
    { title: "Updated", width: 6.3, path: "updatedAt", css: "num soft slim-off", text: (n) => formatTime(n.updatedAt), hint: (n) => n.updatedAt },
  ],
  jobs: [
    { title: "Job", width: 6.2, path: "id", css: "mono", text: (n) => String(n.id ?? "").slice(0, 8), hint: (n) => n.id },
    { title: "Status", width: 7.4, path: "status", text: (n) => n.status ?? "", draw: statusCell },
    { title: "Definition", width: 10.5, path: "jobDefinitionId", text: (n) => n.jobDefinitionId ?? "" },
    { title: "Error", width: 9, path: "error", css: "soft wide", text: (n) => n.error ?? "" },
    { title: "Scheduled", width: 7, path: "scheduledAt", css: "num soft narrow-off", text: (n) => formatTime(n.scheduledAt), hint: (n) => n.scheduledAt },
    { title: "Started", width: 6.1, path: "startedAt", css: "num soft wider", text: (n) => formatTime(n.startedAt), hint: (n) => n.startedAt },
    { title: "Finished", width: 6.1, path: "finishedAt", css: "num soft narrow-off", text: (n) => formatTime(n.finishedAt), hint: (n) => n.finishedAt },
    { title: "Took", width: 5.4, path: "elapsedMs", css: "num", text: (n) => formatDuration(n.elapsedMs) },
  ],
};

class Table {
  #table; #heads; #body; #scroll; #columns = []; #edge = null; #rows = new Map(); #left = new Set(); #onOrder;

  constructor(table, scroll, onOrder) {
    this.#table = table;
    this.#heads = table.tHead.rows[0];
    this.#body = table.tBodies[0];
    this.#scroll = scroll;
    this.#onOrder = onOrder;
  }

  /** Draws `rows` of the set `edge`. `fresh`: another query's rows, so nothing has changed, entered or left.
   *  `still`: so much changes that showing each change would only flicker. */
  draw(edge, rows, fresh, still) {
    if (edge !== this.#edge) this.#useColumns(edge);
    if (fresh) this.#clear();
    still ||= fresh;
    const glide = !still && !reducedMotion.matches && !document.hidden && rows.size <= GLIDING_ROWS;
    this.#move(glide, () => {
      for (const [id, row] of this.#rows) if (rows.node(id) === undefined) this.#leave(id, row, glide);
      let next = null;
      for (let at = rows.size - 1; at >= 0; at--) {
        const id = rows.ids[at];
        const row = this.#rows.get(id) ?? this.#enter(id, still);
        this.#fill(row, rows.node(id), still);
        if (this.#nextStaying(row.element) !== next || !row.element.isConnected) this.#body.insertBefore(row.element, next);
        next = row.element;
      }
    });
  }

  /** Shows by which columns the rows are ordered. */
  showOrder(orderBy) {
    const first = /^\s*([\w.]+)(?:\s+(asc|desc))?\s*(?:,|$)/.exec(orderBy);
    this.#columns.forEach((column, at) => {
      const head = this.#heads.cells[at];
      if (first?.[1] === column.path) head.setAttribute("aria-sort", first[2] === "desc" ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  #useColumns(edge) {
    this.#edge = edge;
    this.#columns = COLUMNS[edge] ?? [];
    this.#clear();
    this.#heads.replaceChildren(...this.#columns.map((column) => {
      const head = document.createElement("th");
      head.scope = "col";
      head.className = (column.css ?? "").replace(/mono|soft/g, "");
      head.style.setProperty("--w", column.width);
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = column.title;
      button.title = `Order by ${column.path}`;
      button.onclick = () => this.#onOrder(`${column.path} ${head.getAttribute("aria-sort") === "descending" ? "asc" : "desc"}`);
      head.append(button);
      return head;
    }));
  }

  #clear() {
    this.#rows.clear();
    this.#left.clear();
    this.#body.replaceChildren();
  }

  #enter(id, still) {
    const element = document.createElement("tr");
    element.dataset.id = id;
    const cells = this.#columns.map((column) => {
      const cell = document.createElement("td");
      cell.className = column.css ?? "";
      return cell;
    });
    element.append(...cells);
    const row = { element, cells, node: null, texts: [] };
    this.#rows.set(id, row);
    if (!still) {
      flash(element, "--enter", 1600);
      // The rows below glide away from here first.
      if (!reducedMotion.matches) element.animate([{ opacity: 0 }, { opacity: 0.2, offset: 0.5 }, { opacity: 1 }], { duration: 320 });
    }
    return row;
  }

  #fill(row, node, still) {
    if (row.node === node) return;
    const entering = row.node === null;
    row.node = node;
    this.#columns.forEach((column, at) => {
      const text = column.text(node) ?? "";
      if (row.texts[at] === text) return;
      row.texts[at] = text;
      const cell = row.cells[at];
      if (column.draw) column.draw(cell, text);
      else cell.textContent = text;
      if (column.hint) cell.title = column.hint(node) ?? "";
      if (!entering && !still) flash(cell, "--flash", 1600);
    });
  }

  #leave(id, row, fade) {
    this.#rows.delete(id);
    if (!fade || !row.element.isConnected) return row.element.remove();
    row.element.classList.add("leaving");
    row.element.setAttribute("aria-hidden", "true");
    this.#left.add(row.element);
    const color = getComputedStyle(document.documentElement).getPropertyValue("--leave");
    row.element.animate([{ backgroundColor: color, opacity: 1 }, { backgroundColor: color, opacity: 0 }], { duration: 320, easing: "ease-out", fill: "forwards" })
      .finished.then(() => this.#sweep(), () => {});
  }

  /** Takes the rows that have faded out of the table, all of a frame at once. */
  #sweep() {
    const faded = [...this.#left].filter((element) => element.getAnimations().every((a) => a.playState === "finished"));
    if (!faded.length) return;
    this.#move(!document.hidden, () => faded.forEach((element) => { this.#left.delete(element); element.remove(); }));
  }

  #nextStaying(element) {
    let next = element.nextElementSibling;
    while (next && this.#left.has(next)) next = next.nextElementSibling;
    return next;
  }

  /** Runs `change` and lets the rows in view glide from where they were to where they are. */
  #move(glide, change) {
    if (!glide) return change();
    const view = this.#scroll.getBoundingClientRect();
    const before = new Map();
    for (const row of this.#rows.values()) {
      const top = row.element.getBoundingClientRect().top;
      if (top > view.top - 100 && top < view.bottom + 100) before.set(row, top);
    }
    change();
    // A glide that has not begun yet means that frames come slower than changes: then rows jump.
    const behind = [...before.keys()].some((row) => row.glide?.pending);
    for (const row of before.keys()) row.glide?.cancel();
    if (behind) return;
    const shifts = [...before].map(([row, top]) => [row, top - row.element.getBoundingClientRect().top]);
    for (const [row, shift] of shifts) {
      if (Math.abs(shift) < 1 || !row.element.isConnected) continue;
      row.glide = row.element.animate([{ transform: `translateY(${shift}px)` }, { transform: "none" }], { duration: 260, easing: "cubic-bezier(.2, .7, .2, 1)" });
    }
  }
}

function flash(element, variable, duration) {
  const color = getComputedStyle(document.documentElement).getPropertyValue(variable);
  element.animate([{ backgroundColor: color }, { backgroundColor: color, offset: 0.2 }, { backgroundColor: "transparent" }], { duration, easing: "ease-out" });
}
