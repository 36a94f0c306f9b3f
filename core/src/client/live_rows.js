// The rows of one live query, over any number of connections. `id`: the client's name for it; `key`: the set's key field.
class LiveRows {
  constructor(id, query, key = "id") {
    Object.assign(this, { id, query, key, rows: new Map(), version: null, loaded: false, undo: [] });
  }

  // What to send on a new connection, once it is `authenticated`.
  request() {
    // Cut off inside a commit: back to where `version` was. Cut off between two chunks of first rows: begin anew.
    for (const [nodeId, before] of this.undo.reverse()) {
      if (before === undefined) this.rows.delete(nodeId);
      else this.rows.set(nodeId, before);
    }
    this.undo = [];
    const since = this.loaded ? { since: this.version } : {};
    return { type: "createLiveQuery", id: this.id, query: this.query, options: { resume: true }, ...since };
  }

  // Takes a message of the server that carries this `id`.
  handle(message) {
    switch (message.type) {
      case "liveQueryCreated":
        this.rows = new Map();
        this.undo = [];
        this.loaded = false;
        this.version = message.version;
        break;
      case "liveQueryData":
        for (const row of message.data) this.rows.set(String(row[this.key]), row);
        // From here on the version counts that `liveQueryCreated` has brought.
        this.loaded = !message.hasMore;
        break;
      case "liveQueryResumed":
        this.reached(message.version);
        break;
      case "liveQueryAddedNode":
      case "liveQueryUpdatedNode":
        this.undo.push([message.nodeId, this.rows.get(message.nodeId)]);
        this.rows.set(message.nodeId, message.data);
        this.reached(message.version);
        break;
      case "liveQueryRemovedNode":
        this.undo.push([message.nodeId, this.rows.get(message.nodeId)]);
        this.rows.delete(message.nodeId);
        this.reached(message.version);
        break;
    }
  }

  // Another version than before: all of its commit has come, and nobody goes back behind it.
  reached(version) {
    if (version !== this.version) this.undo = [];
    this.version = version;
  }
}
