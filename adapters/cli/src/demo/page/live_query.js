// The rows of one live query, kept by the messages about it, and the hand-over from one query to the next: the
// old query serves until the new one has all its rows, so a mistake in the filter never empties the table.

/** An ordered window of rows. With `positions: true` every change names its place, so no comparator is needed. */
class Rows {
  #ids = [];
  #byId = new Map();

  static from(nodes) {
    const rows = new Rows();
    for (const node of nodes) rows.add(String(node.id), node, rows.size);
    return rows;
  }
  get size() { return this.#ids.length; }
  get ids() { return this.#ids; }
  node(id) { return this.#byId.get(id); }

  add(id, node, index) {
    this.#byId.set(id, node);
    this.#ids.splice(index ?? this.#ids.length, 0, id);
  }
  update(id, node, index) {
    this.#byId.set(id, node);
    const from = this.#ids.indexOf(id);
    if (index === undefined || from === index) return;
    this.#ids.splice(from, 1);
    this.#ids.splice(index, 0, id);
  }
  remove(id) {
    if (this.#byId.delete(id)) this.#ids.splice(this.#ids.indexOf(id), 1);
  }
}

const OPTIONS = { positions: true, counts: true };

class LiveQuery {
  #connection; #hooks; #made = 0;
  /** What is shown: `{ id, query, rows, totalCount, capped }`; its id is null once its connection is gone. */
  current = null;
  /** What was asked for and has not delivered all its rows yet. */
  #candidate = null;

  /** Hooks: `onRows()` (something to draw), `onAccepted(query)`, `onRefused(message, query)`, `onEnded(message)`. */
  constructor(connection, hooks) {
    this.#connection = connection;
    this.#hooks = hooks;
  }

  message(query, id) { return { type: "createLiveQuery", id, query, options: OPTIONS }; }

  show(query) {
    this.#abandonCandidate();
    const candidate = { id: `q${++this.#made}`, query, nodes: [], totalCount: 0, capped: false, created: false };
    this.#candidate = candidate;
    if (!this.#connection.live) return;
    this.#connection.request(this.message(query, candidate.id), (answer) => {
      const abandoned = this.#candidate !== candidate;
      if (answer.type === "error") {
        if (abandoned) return;
        this.#candidate = null;
        this.#hooks.onRefused(answer, query);
      } else if (abandoned) {
        this.#destroy(candidate.id);
      } else {
        candidate.created = true;
        candidate.totalCount = answer.totalCount;
        candidate.capped = answer.capped;
        this.#hooks.onAccepted(query);
      }
    });
  }

  /** After a reconnect: asks again for what was wanted last, or else for what was shown. */
  resync() {
    const query = this.#candidate?.query ?? this.current?.query;
    this.#candidate = null;
    if (query) this.show(query);
  }

  connectionLost() {
    if (this.current) this.current.id = null;
    if (this.#candidate) this.#candidate.created = false;
  }

  receive(message) {
    const candidate = this.#candidate;
    if (message.type === "liveQueryData") {
      if (message.id !== candidate?.id) return;
      candidate.nodes.push(...message.data);
      if (message.hasMore) return;
      this.#candidate = null;
      if (this.current?.id) this.#destroy(this.current.id);
      const { id, query, totalCount, capped } = candidate;
      this.current = { id, query, totalCount, capped, rows: Rows.from(candidate.nodes), added: 0, updated: 0, removed: 0 };
      this.#hooks.onRows();
      return;
    }
    const current = this.current;
    if (!current?.id || message.id !== current.id) return;
    switch (message.type) {
      case "liveQueryAddedNode":
        current.rows.add(message.nodeId, message.data, message.index);
        current.added++;
        break;
      case "liveQueryUpdatedNode":
        current.rows.update(message.nodeId, message.data, message.index);
        current.updated++;
        break;
      case "liveQueryRemovedNode":
        current.rows.remove(message.nodeId);
        current.removed++;
        break;
      case "liveQueryCount":
        current.totalCount = message.totalCount;
        current.capped = message.capped;
        break;
      case "error":
        current.id = null;
        this.#hooks.onEnded(message);
        break;
      default:
        return;
    }
    this.#hooks.onRows();
  }

  #abandonCandidate() {
    if (this.#candidate?.created) this.#destroy(this.#candidate.id);
    this.#candidate = null;
  }
  #destroy(id) { this.#connection.send({ type: "destroyLiveQuery", id }); }
}
