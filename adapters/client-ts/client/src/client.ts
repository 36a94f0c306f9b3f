import { Link, type Connection, type ConnectionOptions } from './connection.js'
import { call, closed, LivesetError } from './error.js'
import { Live, type LiveQuery, type Snapshot } from './live.js'
import type { ClientMessage, ServerMessage, WireQuery } from './messages.js'
import { wire, type Query, type Registered, type Sets } from './query.js'

export interface ClientOptions extends ConnectionOptions {
  /** Milliseconds for which a live query is kept when nobody listens any more. Default: 5,000. */
  linger?: number
}

/** An event of a resource. */
export interface LivesetEvent {
  readonly eventType: string
  readonly path: string
  readonly data: unknown
  readonly timestamp: string
}

export interface EventOptions {
  /** Events were lost, because they came too fast or while there was no connection: read the state again. */
  onOverflow?: (why: { reason: 'slow' | 'offline'; message: string }) => void
  /** The server refuses the subscription. Default: the error is printed. */
  onError?: (error: LivesetError) => void
}

/** A connection to a server, with its live queries and events. `S` names its sets and their rows. */
export interface LivesetClient<S extends Sets = Sets> {
  /** The live query, which starts when somebody listens. Equal queries are the same one. */
  live<From extends keyof S & string>(query: Query<From, S[From]>): LiveQuery<S[From]>
  live<T extends object = never>(query: Query<keyof S & string, NoInfer<T>>): LiveQuery<T>
  /** The result of a query, once. */
  query<From extends keyof S & string>(query: Query<From, S[From]>): Promise<Snapshot<S[From]>>
  query<T extends object = never>(query: Query<keyof S & string, NoInfer<T>>): Promise<Snapshot<T>>
  /** Calls the listener for these events of a path, until what is returned is called. */
  events(
    path: string,
    events: readonly string[],
    listener: (event: LivesetEvent) => void,
    options?: EventOptions,
  ): () => void
  /** Resolves when all live queries show the commit of this position, which the answer to a write has brought. */
  awaitPosition(position: string): Promise<void>
  readonly connection: Connection
  /** Tries now to connect. Needed after `needs-auth`. */
  connect(): void
  /** Ends everything, for good. */
  close(): void
}

/** Connects to a server. */
export function createClient<S extends Sets = Registered>(options: ClientOptions): LivesetClient<S> {
  return new Client(options) as LivesetClient<S>
}

interface Subscription {
  readonly path: string
  readonly events: readonly string[]
  readonly listener: (event: LivesetEvent) => void
  readonly options: EventOptions
  /** Whether it was there before this connection. */
  isOld: boolean
}

interface Request {
  readonly message: ClientMessage
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Gives each message of the server to whom it is for. */
export class Client implements LivesetClient {
  readonly link: Link
  /** Whether the server frames commits: it has done so. */
  isFramed = false
  /** Live queries to be found again, by their query. */
  readonly shared: Map<string, Live> = new Map()
  /** Those that somebody listens to, or has until a moment ago. */
  readonly #running = new Set<Live>()
  /** By their names on this connection. */
  readonly #named = new Map<string, Live>()
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #requests = new Map<string, Request>()
  #names = 0

  constructor(readonly options: ClientOptions) {
    this.link = new Link(
      options,
      (message) => this.#receive(message),
      () => this.#connection(),
    )
    this.link.connect()
  }

  get connection(): Connection {
    return this.link
  }

  live<T extends object>(query: Query): LiveQuery<T> {
    return this.#share(query) as unknown as LiveQuery<T>
  }

  #share(query: Query): Live {
    const live = this.find(wire(query))
    // One that nobody listens to, as in a render that is thrown away, is forgotten.
    if (!this.#running.has(live)) live.linger()
    return live
  }

  /** The live query of a query, which is made if need be. */
  find(query: WireQuery): Live {
    const key = JSON.stringify(query)
    let live = this.shared.get(key)
    if (!live) this.shared.set(key, (live = new Live(this, query)))
    return live
  }

  async query<T extends object>(query: Query): Promise<Snapshot<T>> {
    const live = this.#share(query)
    const isMine = !this.#running.has(live)
    await live.until(() => live.isLive)
    if (isMine) live.linger(0)
    return live.current as unknown as Snapshot<T>
  }

  events(
    path: string,
    events: readonly string[],
    listener: (event: LivesetEvent) => void,
    options: EventOptions = {},
  ): () => void {
    const id = this.name()
    this.#subscriptions.set(id, { path, events, listener, options, isOld: false })
    if (this.#isConnected) this.#subscribe(id)
    return () => {
      if (this.#subscriptions.delete(id) && this.#isConnected)
        this.link.send({ type: 'unsubscribeEvents', ids: [id] })
    }
  }

  #subscribe(id: string): void {
    const { path, events, options, isOld } = this.#subscriptions.get(id)!
    this.link.send({ type: 'subscribeEvents', subscriptions: [{ id, path, events }] })
    if (isOld) call(options.onOverflow, { reason: 'offline', message: 'events may have been lost while offline' })
    this.#subscriptions.get(id)!.isOld = true
  }

  awaitPosition(position: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const requestId = this.name()
      const message = { type: 'awaitPosition', requestId, position } as const
      this.#requests.set(requestId, { message, resolve, reject })
      if (this.#isConnected) this.link.send(message)
    })
  }

  connect(): void {
    this.link.connect()
  }

  close(): void {
    this.link.close()
  }

  get isClosed(): boolean {
    return this.link.status === 'closed'
  }

  get #isConnected(): boolean {
    return this.link.status === 'connected'
  }

  /** A name that this client has not used yet, and on this connection for whom. */
  name(live?: Live): string {
    const name = `${++this.#names}`
    if (live) this.#named.set(name, live)
    return name
  }

  /** Somebody listens. */
  start(live: Live): void {
    if (this.#running.has(live) || this.isClosed) return
    const key = JSON.stringify(live.query)
    if (!this.shared.has(key)) this.shared.set(key, live)
    this.#running.add(live)
    if (this.#isConnected) live.open()
  }

  /** Nobody has listened for a while. */
  stop(live: Live): void {
    const key = JSON.stringify(live.query)
    if (this.shared.get(key) === live) this.shared.delete(key)
    this.#running.delete(live)
    if (live.id) {
      this.#named.delete(live.id)
      this.link.send({ type: 'destroyLiveQuery', id: live.id })
    }
    live.lost()
  }

  /** Calls everybody who listens to one of these, once. */
  notify(lives: Live[]): void {
    for (const listener of new Set(lives.flatMap(({ listeners }) => [...listeners].map(({ call }) => call))))
      call(listener)
  }

  #connection(): void {
    if (this.#isConnected) {
      for (const live of this.#running) live.open()
      for (const id of this.#subscriptions.keys()) this.#subscribe(id)
      for (const { message } of this.#requests.values()) this.link.send(message)
    } else {
      this.isFramed = false
      this.#named.clear()
      for (const live of new Set([...this.#running, ...this.shared.values()])) live.lost()
    }
    if (!this.isClosed) return
    for (const { reject } of this.#requests.values()) reject(closed())
    this.#requests.clear()
    this.#subscriptions.clear()
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'commit') {
      this.isFramed = true
      this.notify([...this.#running].filter((live) => live.frame()))
    } else if (message.type === 'event') {
      for (const id of message.subscriptionIds) call(this.#subscriptions.get(id)?.listener, message)
    } else if (message.type === 'warning') {
      const { options } = this.#subscriptions.get(message.subscriptionId) ?? {}
      call(options?.onOverflow, { reason: 'slow', message: message.message })
    } else if (message.type === 'positionReached') {
      this.#requests.get(message.requestId)?.resolve()
      this.#requests.delete(message.requestId)
    } else if (message.type === 'error') {
      this.#fail(message.code, message.message, message.id, message.requestId)
    } else if ('id' in message) {
      this.#named.get(message.id)?.handle(message)
    }
  }

  #fail(code: string, message: string, id = '', requestId = ''): void {
    const live = this.#named.get(id)
    const error = new LivesetError(code, message)
    if (live) {
      this.#named.delete(id)
      live.fail(code, message)
    }
    this.#requests.get(requestId)?.reject(error)
    this.#requests.delete(requestId)
    const subscription = this.#subscriptions.get(id)
    if (subscription) call(subscription.options.onError ?? console.error, error)
  }
}
