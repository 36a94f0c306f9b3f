// The query's fields: reads them, applies them on Enter or after a pause, and shows an error where it is.

const TYPING_PAUSE_MS = 650;

/** The place that an error message names, or null: `{ line, column }`, both from 1, columns in characters. */
function errorPlace(message) {
  const found = /\bline (\d+)\b\W{1,3}column (\d+)\b/i.exec(message);
  return found && { line: Number(found[1]), column: Number(found[2]) };
}

/** Where `text` has that place, as `[start, end)` in UTF-16 units: the word, quoted text or sign that begins there. */
function placeRange(text, place) {
  const lines = text.split("\n");
  const line = Math.min(Math.max(place.line, 1), lines.length) - 1;
  const before = lines.slice(0, line).reduce((sum, each) => sum + each.length + 1, 0);
  const start = before + Array.from(lines[line]).slice(0, Math.max(place.column - 1, 0)).join("").length;
  const token = /^(?:[\p{L}\p{N}_.]+|'(?:[^']|'')*'?|"(?:[^"]|"")*"?|`[^`]*`?|[=!<>]+|\S)/u.exec(text.slice(start));
  return [start, start + (token ? token[0].length : 0)];
}

/**
 * What an error suggests, and the text with it in place of what was found: `{ word, text }`. Null where the message suggests nothing,
 * or where what it found does not stand there in full: half of it must not be replaced, five minutes are not five milliseconds.
 */
function suggestion(message, text, start) {
  const found = /: found '(.+?)'(?:, which the set does not declare)?, expected .*; did you mean '(.+)'\?$/s.exec(message);
  if (!found || !text.startsWith(found[1], start)) return null;
  const [, whole, word] = found;
  const [before, after] = [text.slice(0, start), text.slice(start + whole.length)];
  const joins = (a, b) => /[\p{L}\p{N}_]$/u.test(a) && /^[\p{L}\p{N}_]/u.test(b);
  const space = (a, b) => (joins(a, b) ? " " : "");
  return { word, text: before + space(before, word) + word + space(word, after) + after };
}

/** A field with a mirror behind it, in which the place of an error can be marked. */
class MarkedField {
  constructor(input) {
    this.input = input;
    this.mirror = input.parentElement.querySelector(".mirror");
    this.problem = document.getElementById(input.getAttribute("aria-describedby"));
    this.box = input.closest(".field");
    this.clear();
  }
  get text() { return this.input.value; }
  set text(value) { this.input.value = value; this.clear(); }

  clear() {
    this.box.classList.remove("invalid");
    this.input.removeAttribute("aria-invalid");
    this.problem.replaceChildren();
    // The mirror holds the same text, so that the field grows with what is typed.
    this.mirror.textContent = `${this.text}\u200b`;
  }

  /** Shows the message below the field and marks the place it names. `replace(text)` puts in what was suggested. */
  fail(message, replace) {
    this.box.classList.add("invalid");
    this.input.setAttribute("aria-invalid", "true");
    const place = errorPlace(message);
    this.problem.textContent = message.replace(/^(?:filter|orderBy), /, "");
    if (!place) return;
    const [start, end] = placeRange(this.text, place);
    const mark = document.createElement("mark");
    mark.textContent = this.text.slice(start, end);
    if (start === end) mark.className = "end";
    this.mirror.replaceChildren(this.text.slice(0, start), mark, `${this.text.slice(end)}\u200b`);
    const suggested = suggestion(message, this.text, start);
    if (suggested === null) return;
    const fix = document.createElement("button");
    fix.type = "button";
    fix.className = "link";
    fix.textContent = `Use ${suggested.word}`;
    fix.onclick = () => replace(suggested.text);
    this.problem.append(" ", fix);
  }
}

class Editor {
  #edge; #filter; #order; #limit; #limitBox; #limitProblem; #general; #form; #timer = 0; #apply; #refuse;

  /** Calls `apply(query)`, or `refuse()` where the fields make no query. */
  constructor(form, apply, refuse) {
    this.#form = form;
    this.#apply = apply;
    this.#refuse = refuse;
    this.#edge = form.querySelector("#edge");
    this.#limit = form.querySelector("#limit");
    this.#limitBox = this.#limit.closest(".field");
    this.#limitProblem = form.querySelector("#limit-error");
    this.#general = form.querySelector("#query-error");
    this.#filter = new MarkedField(form.querySelector("#filter"));
    this.#order = new MarkedField(form.querySelector("#order"));
    for (const field of [this.#filter, this.#order]) {
      field.input.addEventListener("input", () => { field.clear(); this.#soon(); });
      field.input.addEventListener("keydown", (event) => this.#enter(event));
    }
    this.#limit.addEventListener("input", () => this.#soon());
    this.#limit.addEventListener("keydown", (event) => this.#enter(event));
    this.#edge.addEventListener("change", () => this.#changeSet());
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** The query as the fields have it, or null where the limit is no number (which is shown). */
  query() {
    const query = { edge: this.#edge.value };
    if (this.#filter.text.trim()) query.filter = this.#filter.text;
    if (this.#order.text.trim()) query.orderBy = this.#order.text;
    const limit = this.#limit.value.trim();
    if (!limit) return query;
    if (/^\d{1,9}$/.test(limit)) return { ...query, limit: Number(limit) };
    this.#failLimit("A whole number, please.");
    return null;
  }

  fill(query) {
    this.#edge.value = query.edge;
    this.#filter.text = query.filter ?? "";
    this.#order.text = query.orderBy ?? "";
    this.#limit.value = query.limit ?? "";
    this.applyNow();
  }

  orderBy(text) {
    this.#order.text = text;
    this.applyNow();
  }

  /** Puts a field's name where the cursor is in the filter. */
  insert(name) {
    const input = this.#filter.input;
    input.setRangeText(name, input.selectionStart, input.selectionEnd, "end");
    input.focus();
    this.#filter.clear();
  }

  applyNow() {
    clearTimeout(this.#timer);
    this.clear();
    const query = this.query();
    if (query) this.#apply(query);
    else this.#refuse();
  }

  clear() {
    this.#filter.clear();
    this.#order.clear();
    this.#limitBox.classList.remove("invalid");
    this.#limitProblem.textContent = "";
    this.#general.textContent = "";
  }

  /** Shows a refusal at the field it is about. */
  fail(message) {
    const replace = (field) => (text) => { field.text = text; field.input.focus(); this.applyNow(); };
    if (/^(?:'query\.)?limit\b/.test(message)) this.#failLimit(message);
    else if (/^orderBy\b/.test(message)) this.#order.fail(message, replace(this.#order));
    else if (/^filter\b/.test(message)) this.#filter.fail(message, replace(this.#filter));
    else this.#general.textContent = message;
  }

  #failLimit(message) {
    this.#limitBox.classList.add("invalid");
    this.#limitProblem.textContent = message;
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.applyNow(), TYPING_PAUSE_MS);
  }

  #enter(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.applyNow();
  }

  /** Another set has other fields: the expressions would only be wrong there. */
  #changeSet() {
    const edge = this.#edge.value;
    this.fill({ edge, orderBy: edge === "jobs" ? "scheduledAt desc" : "createdAt desc", limit: 50 });
  }
}
