import type { Socket } from '../src/index.js'
import type { ClientMessage, ServerMessage, WireQuery } from '../src/messages.js'

/** Chance that a seed repeats. */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** From 0 to below 1. */
  next(): number {
    let t = (this.#state = (this.#state + 0x6d2b79f5) | 0)
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** From 0 to below `n`. */
  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }
}

export interface Row {
  id: string
  g: number
  n: number
  /** What makes some messages large. */
  text?: string
}

export type Table = ReadonlyMap<string, Row>

/** The result of a query by its definition, which knows nothing of diffs. Filters are `g == $g`, orders `n`. */
export function result(table: Table, query: WireQuery): Row[] {
  const g = query.params?.['g']
  return [...table.values()]
    .filter((row) => g === undefined || row.g === g)
    .sort((a, b) => (query.orderBy ? a.n - b.n : 0) || (a.id < b.id ? -1 : 1))
    .slice(0, query.limit ?? 1_000)
}

function count(table: Table, query: WireQuery): { totalCount: number; capped: boolean } {
  const totalCount = result(table, { ...query, limit: 1e9 }).length
  return { totalCount, capped: totalCount > (query.limit ?? 1_000) }
}

/** `base`: what came before commit frames, which refuses options that it does not know. */
export type Dialect = 'base' | 'extended'

/** A server on a network that does what a test says, on fake timers. It has one set, `rows`. */
export class FakeServer {
  /** Every state that there has been. */
  readonly history: Table[] = [new Map()]
  dialect: Dialect = 'extended'
  /** Versions of an earlier one are not known. */
  epoch = 0
  /** Versions before this one are forgotten. */
  floor = 0
  isReachable = true
  /** How many of the next tokens are refused. */
  refusals = 0
  /** Milliseconds that a message takes, at most. */
  latency = 0
  readonly sessions: Set<Session> = new Set()
  /** How often a live query was begun by version, by rows, and from the start. */
  readonly begun: Record<'since' | 'have' | 'created', number> = { since: 0, have: 0, created: 0 }
  readonly received: ClientMessage[] = []
  readonly WebSocket: new (url: string) => Socket

  constructor(readonly chance: Chance = new Chance(1)) {
    const server = this
    this.WebSocket = class extends FakeSocket {
      constructor() {
        super(server)
      }
    }
  }

  get table(): Table {
    return this.history.at(-1)!
  }

  get version(): string {
    return `${this.epoch}.${this.history.length - 1}`
  }

  /** Rows are put, and ids are removed, as one commit. */
  commit(...ops: (Row | string)[]): void {
    const before = this.table
    const after = new Map(before)
    for (const op of ops) {
      if (typeof op === 'string') after.delete(op)
      else after.set(op.id, op)
    }
    this.history.push(after)
    for (const session of this.sessions) session.committed(before, after)
  }

  /** All connections end, and nothing is known of them any more. */
  restart(): void {
    this.epoch++
    this.floor = this.history.length - 1
    for (const session of [...this.sessions]) session.socket.end()
  }
}

class FakeSocket implements Socket {
  readonly #listeners: Record<string, ((event: { data?: unknown }) => void)[]> = {}
  readonly session: Session
  isOpen = false
  /** Nothing arrives any more, and nobody is told. */
  isDead = false
  #lastArrival = [0, 0]
  readonly #lines: (() => void)[][] = [[], []]

  constructor(readonly server: FakeServer) {
    this.session = new Session(server, this)
    this.carry(0, () => {
      if (!server.isReachable) return this.end()
      this.isOpen = true
      server.sessions.add(this.session)
      this.emit('open')
    })
  }

  addEventListener(type: string, listener: (event: { data?: unknown }) => void): void {
    ;(this.#listeners[type] ??= []).push(listener)
  }

  emit(type: string, data?: unknown): void {
    for (const listener of this.#listeners[type] ?? []) listener({ data })
  }

  send(data: string): void {
    if (!this.isOpen) throw new Error('the socket is not open')
    this.carry(1, () => this.session.receive(JSON.parse(data) as ClientMessage))
  }

  close(): void {
    this.isDead = true
    this.server.sessions.delete(this.session)
  }

  /** The other side closes, or the network cuts: what is on the way is lost. */
  end(): void {
    if (this.isDead) return
    this.close()
    this.emit('close')
  }

  /** Does something at the other end, after all that was sent before. */
  carry(way: 0 | 1, arrive: () => void): void {
    const { chance, latency } = this.server
    const line = this.#lines[way]!
    line.push(arrive)
    const wait = this.#lastArrival[way]! - performance.now()
    const delay = Math.ceil(Math.max(wait, chance.next() * latency))
    this.#lastArrival[way] = performance.now() + delay
    setTimeout(() => this.isDead || line.shift()?.(), delay)
  }
}

interface Held {
  query: WireQuery
  rows: Row[]
  /** The last version that it was told. */
  version: string
  count: { totalCount: number; capped: boolean }
}

/** What the server knows of one connection. */
class Session {
  readonly #queries = new Map<string, Held>()
  #isAuthenticated = false
  #framesCommits = false

  constructor(
    readonly server: FakeServer,
    readonly socket: FakeSocket,
  ) {}

  send(message: ServerMessage): void {
    this.socket.carry(0, () => this.socket.emit('message', JSON.stringify(message)))
  }

  /** An error of the connection, which closes it. */
  end(code: string): void {
    this.send({ type: 'error', code, message: code })
    this.socket.carry(0, () => this.socket.end())
  }

  status(status: 'live' | 'stale'): void {
    for (const id of this.#queries.keys())
      this.send({ type: 'liveQueryStatus', id, status, ...(status === 'stale' && { since: new Date().toISOString() }) })
  }

  receive(message: ClientMessage): void {
    const { server } = this
    server.received.push(message)
    switch (message.type) {
      case 'auth':
        if (message.options && server.dialect === 'base') {
          const { requestId } = message
          const text = "'options' has an unknown field 'commits'"
          return this.send({ type: 'error', code: 'INVALID_MESSAGE', message: text, requestId })
        }
        if (server.refusals > 0) {
          server.refusals--
          return this.end('AUTH_FAILED')
        }
        this.#isAuthenticated = true
        this.#framesCommits = !!message.options
        return this.send({ type: 'authenticated' })
      case 'ping':
        return this.send({ type: 'pong' })
      case 'createLiveQuery':
        return this.#create(message)
      case 'destroyLiveQuery':
        this.#queries.delete(message.id)
        return this.send({ type: 'liveQueryDestroyed' })
      case 'awaitPosition':
        return this.send({ type: 'positionReached', requestId: message.requestId })
    }
  }

  #create({ id, query, options, since, have }: ClientMessage & { type: 'createLiveQuery' }): void {
    const { server } = this
    if (!this.#isAuthenticated) return this.end('NOT_AUTHENTICATED')
    if (query.edge !== 'rows')
      return this.send({ type: 'error', code: 'INVALID_QUERY', message: `there is no set '${query.edge}'`, id })
    if (server.dialect === 'base' && options['status'])
      return this.send({ type: 'error', code: 'INVALID_MESSAGE', message: "'options' has an unknown field 'status'", id })
    const rows = result(server.table, query)
    const held = { query, rows, version: server.version, count: count(server.table, query) }
    this.#queries.set(id, held)
    const [epoch, at] = (since ?? '').split('.').map(Number)
    if (epoch === server.epoch && at! >= server.floor) {
      server.begun.since++
      const before = result(server.history[at!]!, query)
      const diffs = this.#diffs(id, before, rows, since!)
      const version = diffs.length ? since! : server.version
      this.send({ type: 'liveQueryResumed', id, key: 'id', version, ...held.count })
      for (const diff of diffs) this.send(diff)
    } else if (have && server.dialect === 'extended' && this.#resume(id, held, have)) {
      server.begun.have++
    } else {
      server.begun.created++
      this.send({ type: 'liveQueryCreated', id, key: 'id', version: server.version, ...held.count })
      for (let from = 0; from === 0 || from < rows.length; from += 3) {
        const data = rows.slice(from, from + 3)
        const etags = server.dialect === 'extended' ? data.map(etag) : undefined
        this.send({ type: 'liveQueryData', id, data, ...(etags && { etags }), hasMore: from + 3 < rows.length })
      }
    }
    if (this.#framesCommits) this.send({ type: 'commit' })
  }

  #resume(id: string, { rows, count }: Held, have: string[]): boolean {
    const kept = new Set<number>()
    const missing: [number, Row][] = []
    let last = -1
    rows.forEach((row, index) => {
      const place = have.indexOf(etag(row))
      if (place > last) kept.add((last = place))
      else missing.push([index, row])
    })
    if (kept.size * 2 < rows.length) return false
    const { version } = this.server
    const drop = have.map((_, place) => place).filter((place) => !kept.has(place))
    this.send({ type: 'liveQueryResumed', id, key: 'id', drop, ...count, ...(!missing.length && { version }) })
    missing.forEach(([index, row], at) => {
      const isLast = at === missing.length - 1
      const head = { type: 'liveQueryAddedNode', id, nodeId: row.id, data: row, etag: etag(row), index } as const
      this.send({ ...head, ...(isLast && { version }) })
    })
    return true
  }

  committed(before: Table, after: Table): void {
    let isSent = false
    for (const [id, held] of this.#queries) {
      const rows = result(after, held.query)
      const diffs = this.#diffs(id, result(before, held.query), rows, held.version)
      if (diffs.length) held.version = this.server.version
      for (const diff of diffs) this.send(diff)
      const now = count(after, held.query)
      const isCount = now.totalCount !== held.count.totalCount
      if (isCount) this.send({ type: 'liveQueryCount', id, ...now })
      Object.assign(held, { rows, count: now })
      isSent ||= isCount || diffs.length > 0
    }
    if (isSent && this.#framesCommits) this.send({ type: 'commit' })
  }

  /** Removals, then additions and updates in the order of the result, each with its place after it. */
  #diffs(id: string, before: Row[], after: Row[], old: string): ServerMessage[] {
    const { server } = this
    const window = before.slice()
    const diffs: Record<string, unknown>[] = []
    for (const { id: nodeId } of before) {
      if (after.some((row) => row.id === nodeId)) continue
      window.splice(
        window.findIndex((row) => row.id === nodeId),
        1,
      )
      diffs.push({ type: 'liveQueryRemovedNode', nodeId, reason: 'filter' })
    }
    const stays = new Map(before.map((row) => [row.id, row]))
    for (const [index, row] of after.entries()) {
      const at = window.findIndex(({ id }) => id === row.id)
      if (at === index && etag(stays.get(row.id)!) === etag(row)) continue
      if (at >= 0) window.splice(at, 1)
      window.splice(index, 0, row)
      const type = at >= 0 ? 'liveQueryUpdatedNode' : 'liveQueryAddedNode'
      const tagged = server.dialect === 'extended' && { etag: etag(row) }
      diffs.push({ type, nodeId: row.id, data: row, index, ...tagged })
    }
    return diffs.map(
      (diff, at) =>
        ({ ...diff, id, version: at === diffs.length - 1 ? server.version : old }) as unknown as ServerMessage,
    )
  }
}

const etag = (row: Row) => JSON.stringify(row)
