import type { Client } from './client.js'
import { closed, LivesetError } from './error.js'
import type { Diff, LiveMessage, WireQuery } from './messages.js'
import { flatten, indexOf, rowsOf, same, splice, type Rows } from './rows.js'

/** How far `data` can be trusted; see {@link Reason} for why. */
export type Status = 'loading' | 'live' | 'stale' | 'error' | 'closed'

/**
 * Why a live query is not live.
 *
 * - `offline`: there is no connection, or it is just back.
 * - `needs-auth`: the token was refused twice.
 * - `source`: the server is behind the place where its data comes from.
 * - `overloaded`: the server has no room now; it is asked again.
 * - `refused`: the server does not take the query; see `error`.
 */
export type Reason = 'offline' | 'needs-auth' | 'source' | 'overloaded' | 'refused'

/** What happened to one row. */
export interface Change<T> {
  readonly type: 'added' | 'updated' | 'removed'
  readonly id: string
  /** The row as it is now. Of a removed one, as it was. */
  readonly row: T
  /** Of additions and removals, where the server says it: `created`, `filter`, `refilled`, `deleted`, `displaced`, … */
  readonly reason?: string | undefined
}

/** A live query at one moment. It never changes; the next moment has another one. */
export interface Snapshot<T> {
  readonly status: Status
  readonly reason: Reason | undefined
  /** The rows, sorted. The array is the same as before if they are, and so is each row that did not change. */
  readonly data: readonly T[]
  /** How many rows match, whatever the limit. */
  readonly totalCount: number
  /** Whether more rows match than `data` has. */
  readonly capped: boolean
  /** What the last commit has changed, net. Rows that came by loading are additions. */
  readonly changes: readonly Change<T>[]
  readonly error: LivesetError | undefined
  /** Since when `data` may be behind. */
  readonly staleSince: Date | undefined
}

/** A query that stays up to date while somebody listens. Equal queries of a client are one. */
export interface LiveQuery<T> {
  readonly current: Snapshot<T>
  /** Calls the listener when `current` has changed, until what is returned is called: at most once for each commit. */
  subscribe(listener: () => void): () => void
  /** Resolves when there are rows, and rejects if the server refuses the query. The same promise until then. */
  ready(): Promise<void>
  /**
   * What has changed, one batch for each commit; the first has the rows that are there. A reader that is slower than
   * commits gets what several have changed, net. Ends when the client is closed, and throws if the query is refused.
   */
  changes(): AsyncGenerator<readonly Change<T>[], void>
}

/** A row with its id. The same object as long as the row does not change. */
export interface Entry {
  readonly id: string
  readonly row: object
  etag: string | undefined
}

/** What the server has said of the result. Never changed, so that an earlier one can be gone back to. */
export interface Result {
  readonly rows: Rows<Entry>
  readonly totalCount: number
  readonly capped: boolean
  readonly version: string | undefined
}

const NOTHING: Result = { rows: [], totalCount: 0, capped: false, version: undefined }

/** More rows than this are not told to a server that has no version of them: it takes 64 KiB at once. */
const MOST_TOLD = 1_800

/**
 * One live query: what is shown of it, and what is on the way.
 *
 * Messages change `#next`. Where a commit is complete it becomes `shown`. A connection that is cut takes `#next` back to
 * `shown`, from which the next one goes on.
 */
export class Live implements LiveQuery<object> {
  shown: Result = NOTHING
  /** Whether `shown` is what a server has said. */
  hasRows = false
  /** Whether the server keeps `shown` up to date. */
  isLive = false
  /** Its name on this connection. */
  id: string | undefined
  /** The key field of the set. */
  key = 'id'
  /** What is shown in place of the rows: the optimistic overlay. */
  overlay: ((rows: readonly object[]) => readonly object[]) | undefined
  readonly listeners: Set<{ call: () => void }> = new Set()

  #next = NOTHING
  /** What has made `shown` into `#next` so far. */
  #changes: Change<object>[] = []
  /** The entries of both by id, so that rows that come again keep their identity. */
  #known = new Map<string, Entry>()
  /** First rows, until the last chunk. */
  #chunks: Entry[] | undefined
  /** Where what comes replaces `shown` as a whole: only then are the changes known. */
  #isWhole = false
  /** It was resumed, and whether all is there that follows is not known: the next frame says so, without frames a moment. */
  #isWaiting = false
  /** What the server was asked to go on from. */
  #asked: { since?: string; have?: string[] } = {}
  #source: { status: string; since?: string } | undefined
  #error: LivesetError | undefined
  #staleSince: Date | undefined
  /** How often in a row the server had no room. */
  #attempt = 0
  #timer: Timer
  #linger: Timer
  /** The step that led to `shown`. */
  #step: { before: Rows<Entry>; changes: readonly Change<object>[] } = { before: [], changes: [] }
  #snapshot: Snapshot<object> | undefined
  #made: { rows: Rows<Entry>; array: readonly object[] } | undefined
  #ready: Promise<void> | undefined

  constructor(
    readonly client: Client,
    readonly query: WireQuery,
  ) {}

  get current(): Snapshot<object> {
    return (this.#snapshot ??= this.#snap([]))
  }

  subscribe(listener: () => void): () => void {
    const holder = { call: listener }
    this.listeners.add(holder)
    clearTimeout(this.#linger)
    this.client.start(this)
    return () => {
      if (this.listeners.delete(holder)) this.linger()
    }
  }

  /** Ends it, unless somebody listens again soon. */
  linger(wait: number = this.client.options.linger ?? 5_000): void {
    clearTimeout(this.#linger)
    if (!this.listeners.size) this.#linger = setTimeout(() => this.client.stop(this), wait)
  }

  ready(): Promise<void> {
    return (this.#ready ??= this.until(() => this.hasRows).catch((error: unknown) => {
      this.#ready = undefined
      throw error
    }))
  }

  /** Listens until something is so; rejects where it cannot become so. */
  until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        const { error } = this.current
        if (isSo()) resolve()
        else if (error || this.client.isClosed) reject(error ?? closed())
        else return
        off()
      }
      const off = this.subscribe(check)
      check()
    })
  }

  changes(): AsyncGenerator<readonly Change<object>[], void> {
    const reader = { isDone: false, wake: () => {} }
    const changes = this.#read(reader)
    const end = changes.return.bind(changes)
    // By itself it would end with the next change.
    changes.return = (value) => {
      reader.isDone = true
      reader.wake()
      return end(value)
    }
    return changes
  }

  async *#read(reader: { isDone: boolean; wake: () => void }): AsyncGenerator<readonly Change<object>[], void> {
    let seen: Rows<Entry> = []
    const off = this.subscribe(() => reader.wake())
    try {
      while (!this.client.isClosed && !reader.isDone) {
        const { rows } = this.shown
        if (rows !== seen) {
          const changes = this.#step.before === seen ? this.#step.changes : changesBetween(flatten(seen), flatten(rows))
          seen = rows
          if (changes.length) yield changes
        } else {
          if (this.#error) throw this.#error
          await new Promise<void>((resolve) => (reader.wake = resolve))
        }
      }
    } finally {
      off()
    }
  }

  /** Asks the server for the rows, or for what has changed since `shown`. */
  open(): void {
    const { rows, version } = this.shown
    const etags = flatten(rows).map(({ etag }) => etag!)
    this.#asked = {
      ...(version && { since: version }),
      ...(this.hasRows &&
        this.client.link.extended &&
        etags.length <= MOST_TOLD &&
        etags.every(Boolean) && { have: etags }),
    }
    this.#ask()
  }

  #ask(): void {
    clearTimeout(this.#timer)
    const { link } = this.client
    const options = { positions: true, counts: true, reasons: true, resume: true, ...(link.extended && { status: true }) }
    this.id = this.client.name(this)
    link.send({ type: 'createLiveQuery', id: this.id, query: this.query, options, ...this.#asked })
  }

  /** The server does not keep it up to date any more: back to the last moment that was whole. */
  lost(): void {
    clearTimeout(this.#timer)
    this.id = this.#source = this.#chunks = undefined
    this.isLive = this.#isWaiting = false
    this.#staleSince ??= new Date()
    this.#restart(this.shown)
    this.touch()
  }

  /** Shows these rows until a server tells more: they come from another client. */
  restore(shown: Result, key: string, since: Date): void {
    this.key = key
    this.#staleSince = since
    this.#snapshot = undefined
    this.shown = shown
    this.hasRows = true
    this.#restart(shown)
  }

  #restart(from: Result): void {
    this.#next = from
    this.#changes = []
    this.#isWhole = false
    this.#known = new Map(flatten(from.rows).map((entry) => [entry.id, entry]))
  }

  /** Takes what the server says of it. */
  handle(message: LiveMessage): void {
    switch (message.type) {
      case 'liveQueryCreated': {
        const { totalCount, capped, version } = message
        this.key = message.key ?? this.key
        this.#next = { rows: [], totalCount, capped, version }
        this.#chunks = []
        this.#isWhole = true
        break
      }
      case 'liveQueryData':
        message.data.forEach((row, at) => {
          const id = String((row as Record<string, unknown>)[this.key])
          this.#chunks?.push(this.#entry(id, row, message.etags?.[at]))
        })
        if (!message.hasMore) {
          this.#next = { ...this.#next, rows: rowsOf(this.#chunks ?? []) }
          this.#chunks = undefined
          this.#complete()
        }
        break
      case 'liveQueryResumed': {
        const { totalCount, capped, version, drop } = message
        this.key = message.key ?? this.key
        let { rows } = this.shown
        if (drop?.length) {
          const gone = new Set(drop)
          rows = rowsOf(flatten(rows).filter((_, at) => !gone.has(at)))
        }
        this.#isWhole = !!drop
        this.#next = { rows, totalCount, capped, version }
        // A frame comes behind all that it lacks. Without frames: by rows, a version says that nothing follows. By version, another
        // one does; the same one, that nothing was committed, or that the changes follow at once.
        const { extended } = this.client.link
        this.#isWaiting = extended || (!drop && version === this.#asked.since)
        if (extended) break
        if (this.#isWaiting) this.#timer = setTimeout(() => this.#complete(), 200)
        else if (version) this.#complete()
        break
      }
      case 'liveQueryAddedNode':
      case 'liveQueryUpdatedNode':
      case 'liveQueryRemovedNode':
        this.#diff(message)
        break
      case 'liveQueryCount':
        this.#next = { ...this.#next, totalCount: message.totalCount, capped: message.capped }
        if (this.isLive) this.#complete()
        break
      case 'liveQueryStatus':
        this.#source = message.status === 'live' ? undefined : message
        this.touch()
    }
  }

  #diff(message: Diff): void {
    clearTimeout(this.#timer)
    const { nodeId: id, version } = message
    const old = this.#known.get(id)
    let { rows } = this.#next
    const at = old ? indexOf(rows, old) : -1
    let entry: Entry | undefined
    let isNews = true
    if (message.type === 'liveQueryRemovedNode') {
      if (at >= 0) rows = splice(rows, at, 1)
    } else {
      entry = this.#entry(id, message.data, message.etag)
      const index = message.index ?? (at < 0 ? Infinity : at)
      if (at !== index) rows = splice(at < 0 ? rows : splice(rows, at, 1), index, 0, entry)
      // Several changes that have become one may come to nothing.
      else if (entry === old) isNews = false
      else rows = splice(rows, at, 1, entry)
    }
    const row = (entry ?? old)?.row
    if (row && isNews) {
      const type = !entry ? 'removed' : at < 0 ? 'added' : 'updated'
      this.#changes.push({ type, id, row, reason: message.reason })
    }

    // The last message of a commit has another version. While rows are told it is the only one that has any.
    const isLast = this.#isWhole ? version : !version || version !== this.#next.version
    this.#next = { ...this.#next, rows, version }
    if (isLast) this.#complete()
  }

  /** The entry of a row: the one that is known, where the row is the same. */
  #entry(id: string, row: object, etag: string | undefined): Entry {
    let entry = this.#known.get(id)
    if (!entry || !same(entry.row, row)) this.#known.set(id, (entry = { id, row, etag }))
    // The same row has the same etag, also at a server that does not tell it.
    entry.etag = etag ?? entry.etag
    return entry
  }

  /** `#next` is whole. What was not live yet is shown at once, all else with what the commit has changed elsewhere. */
  #complete(): void {
    if (this.isLive ? this.client.isFramed : this.#isWaiting && this.client.link.extended) return
    this.show()
    this.client.notify([this])
  }

  /** Everything of a commit has come. Whether something else is shown now. */
  frame(): boolean {
    if (!this.#isWaiting && (!this.isLive || this.#next === this.shown)) return false
    this.show()
    return true
  }

  /** Shows what is whole. */
  show(): void {
    clearTimeout(this.#timer)
    const before = this.shown.rows
    let changes = this.#changes
    const last = new Map(changes.map(({ id, type }) => [id, type]))
    // Where a row has left and come back, or all have come, only a comparison tells what has changed.
    if (this.#isWhole || last.size < changes.length) {
      const [old, rows] = [flatten(before), flatten(this.#next.rows)]
      changes = changesBetween(old, rows)
      if (!changes.length && rows.every((entry, at) => entry === old[at])) this.#next = { ...this.#next, rows: before }
    }
    // They were kept for those that come back.
    for (const [id, type] of last) if (type === 'removed') this.#known.delete(id)
    this.#step = { before, changes }
    this.shown = this.#next
    if (this.#isWhole) this.#restart(this.shown)
    this.#changes = []
    this.hasRows = this.isLive = true
    this.#isWaiting = false
    this.#error = this.#staleSince = undefined
    this.#attempt = 0
    this.#snapshot = this.#snap(changes)
  }

  /** The server refuses it, or ends it. */
  fail(code: string, message: string): void {
    const { since, have } = this.#asked
    if (code === 'INVALID_MESSAGE' && (since || have)) {
      // Another server, which does not read what the last one gave: from the start.
      this.#asked = {}
      return this.#ask()
    }
    this.lost()
    // What was taken before may still be counted for the connection that was lost.
    if (code === 'OVERLOADED' || code === 'RATE_LIMITED' || (code === 'LIMIT_EXCEEDED' && this.hasRows)) {
      this.#timer = setTimeout(() => this.open(), this.client.link.wait(this.#attempt++))
    } else {
      this.#error = new LivesetError(code, message)
      // What may not be seen any more is not shown any more.
      if (code === 'FORBIDDEN') {
        this.shown = NOTHING
        this.hasRows = false
        this.#restart(NOTHING)
      }
    }
    this.touch()
  }

  /** Something but the rows has changed. */
  touch(): void {
    this.#snapshot = undefined
    this.client.notify([this])
  }

  #snap(changes: readonly Change<object>[]): Snapshot<object> {
    const { rows, totalCount, capped } = this.shown
    const { overlay } = this
    const array = () => this.#array(rows)
    let data: readonly object[] | undefined
    const source = this.#source
    const [status, reason] = this.#state()
    return {
      status,
      reason,
      get data() {
        return (data ??= overlay ? overlay(array()) : array())
      },
      totalCount,
      capped,
      changes,
      error: this.#error,
      staleSince: status === 'stale' ? (source?.since ? new Date(source.since) : this.#staleSince) : undefined,
    }
  }

  /** The rows as users see them: an array is made when somebody looks, and once. */
  #array(rows: Rows<Entry>): readonly object[] {
    if (this.#made?.rows !== rows) this.#made = { rows, array: flatten(rows).map(({ row }) => row) }
    return this.#made.array
  }

  #state(): [Status, Reason | undefined] {
    const { status } = this.client.link
    if (status === 'closed') return [status, undefined]
    if (this.#error) return ['error', 'refused']
    if (this.isLive && !this.#source) return ['live', undefined]
    const reason = status === 'needs-auth' ? status : this.#source ? 'source' : this.#attempt ? 'overloaded' : 'offline'
    // First rows that are just on their way need no reason.
    const isEarly = reason === 'offline' && (status === 'connecting' || status === 'connected')
    return this.hasRows ? ['stale', reason] : ['loading', isEarly ? undefined : reason]
  }
}

type Timer = ReturnType<typeof setTimeout> | undefined

/** What makes the rows of one result into those of another. */
function changesBetween(before: Entry[], after: Entry[]): Change<object>[] {
  const gone = new Map(before.map((entry) => [entry.id, entry]))
  const changes: Change<object>[] = []
  for (const { id, row } of after) {
    const old = gone.get(id)
    gone.delete(id)
    if (old?.row !== row) changes.push({ type: old ? 'updated' : 'added', id, row })
  }
  for (const { id, row } of gone.values()) changes.unshift({ type: 'removed', id, row })
  return changes
}
