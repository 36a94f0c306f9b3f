import { call, LivesetError } from './error.js'
import type { ClientMessage, ServerMessage } from './messages.js'

/** As much of a `WebSocket` as is used. */
export interface Socket {
  send(data: string): void
  close(): void
  addEventListener(type: 'open' | 'message' | 'close' | 'error', listener: (event: { data?: unknown }) => void): void
}

export interface ConnectionOptions {
  /** Of the endpoint, such as `wss://example.com/ws`. */
  url: string
  /**
   * The token, or what gets one; it is called for every connection. `refused`: the server did not take the last one, so
   * do not answer it from a cache.
   */
  token: string | ((about: { refused: boolean }) => string | Promise<string>)
  /** Default: the global one. */
  WebSocket?: new (url: string) => Socket
  /** Milliseconds to wait before attempt 0, 1, …. Default: by chance, at most 0.5 s, 1 s, 2 s, … 15 s. */
  backoff?: (attempt: number) => number
  /**
   * Calls `wake` when it is worth to look at the connection at once, and returns how to stop that. Default: the browser's
   * `online`, and when the page becomes visible.
   */
  online?: (wake: () => void) => () => void
}

/**
 * - `connecting`: for the first time.
 * - `reconnecting`: it was lost, or could not be made, and is tried for ever.
 * - `needs-auth`: the token was refused, and so was the next. `connect()` tries again.
 */
export type ConnectionStatus = 'connecting' | 'connected' | 'reconnecting' | 'needs-auth' | 'closed'

/** The connection as users see it. */
export interface Connection {
  readonly status: ConnectionStatus
  /** When the server was last heard. */
  readonly lastMessageAt: Date | undefined
  /** Why there is no connection, where that is known. */
  readonly error: Error | undefined
  /** Calls the listener when `status` has changed, until what is returned is called. */
  subscribe(listener: () => void): () => void
}

/** Silence after which the server is asked for a sign of life, and how long that may take. */
const SILENCE = 10_000
const PATIENCE = 4_000

/** A connection that lived this long was a good one: the next is tried at once. */
const GOOD = 5_000

const now = () => performance.now()

/**
 * Keeps one socket open and authenticated: opens it, notices when it is dead, opens the next.
 *
 * ```text
 * connecting ──► connected ──► reconnecting ──► connected …
 *      └──────► needs-auth ◄────────┘
 * ```
 */
export class Link implements Connection {
  status: ConnectionStatus = 'connecting'
  lastMessageAt: Date | undefined
  error: Error | undefined
  /** Whether the server knows commit frames and what came with them: the status of sets, and resuming by rows. */
  extended = true

  #socket: Socket | undefined
  /** Counts sockets, so that what belongs to an earlier one is ignored. */
  #generation = 0
  /** The one thing that is waited for: the next attempt, or the next look at the silence. */
  #timer: ReturnType<typeof setTimeout> | undefined
  #attempt = 0
  #refusals = 0
  #connectedAt = 0
  #heardAt = 0
  #isAsked = false
  readonly #listeners = new Set<() => void>()
  readonly #sleep: () => void

  constructor(
    readonly options: ConnectionOptions,
    /** Takes what the server says while connected. */
    readonly onMessage: (message: ServerMessage) => void,
    /** Called when the status has changed, before listeners are. */
    readonly onStatus: () => void,
  ) {
    this.#sleep = (options.online ?? browser)(() => this.#wake())
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  send(message: ClientMessage): void {
    this.#socket?.send(JSON.stringify(message))
  }

  /** Tries again now, also where the token was refused. */
  connect(): void {
    if (this.status === 'connected' || this.status === 'closed') return
    this.#attempt = this.#refusals = 0
    this.#drop()
    void this.#open()
  }

  /** Milliseconds before an attempt, by chance: many clients are cut off at once. */
  wait(attempt: number): number {
    return this.options.backoff?.(attempt) ?? Math.random() * Math.min(15_000, 500 * 2 ** attempt)
  }

  close(): void {
    this.#drop()
    this.#sleep()
    this.#become('closed')
  }

  async #open(): Promise<void> {
    const { url, token, WebSocket = globalThis.WebSocket as new (url: string) => Socket } = this.options
    const generation = this.#generation
    if (this.status === 'needs-auth') this.#become('reconnecting')
    try {
      const secret = typeof token === 'function' ? await token({ refused: this.#refusals > 0 }) : token
      if (generation !== this.#generation) return
      const socket = new WebSocket(url)
      this.#socket = socket
      const on = (type: 'open' | 'message' | 'close' | 'error', listener: (data: unknown) => void) =>
        socket.addEventListener(type, ({ data }) => {
          if (generation === this.#generation) listener(data)
        })
      on('open', () => {
        this.extended = true
        this.#authenticate(secret)
      })
      on('message', (data) => {
        this.#heard()
        this.#receive(JSON.parse(data as string) as ServerMessage, secret)
      })
      on('close', () => this.#lost())
      on('error', () => this.#lost())
      this.#heardAt = now()
      this.#watch(SILENCE + PATIENCE)
    } catch (error) {
      if (generation === this.#generation) this.#lost(error as Error)
    }
  }

  #authenticate(token: string): void {
    this.send({ type: 'auth', token, requestId: 'auth', ...(this.extended && { options: { commits: true } }) })
  }

  #receive(message: ServerMessage, token: string): void {
    if (message.type === 'ping') return this.send({ type: 'pong' })
    if (message.type === 'authenticated') {
      this.#refusals = 0
      this.error = undefined
      this.#connectedAt = now()
      this.#watch(SILENCE)
      return this.#become('connected')
    }
    if (message.type !== 'error' || message.id || (message.requestId && message.requestId !== 'auth'))
      return this.onMessage(message)

    // An error of the connection, which the server closes; and one of `auth`: an older server does not know the option.
    const { code } = message
    this.error = new LivesetError(code, message.message)
    if (code === 'INVALID_MESSAGE' && message.requestId && this.extended) {
      this.extended = false
      this.#authenticate(token)
    } else if (code === 'AUTH_FAILED' || code === 'TOKEN_EXPIRED') {
      this.#refusals++
      this.#lost(this.error)
    } else if (code === 'RATE_LIMITED') {
      // Of a request that is not named: which one is not known, so all are made again.
      this.#lost(this.error)
    }
  }

  /** The socket is of no use any more. */
  #lost(error = this.error): void {
    const wasConnected = this.status === 'connected'
    const wasGood = wasConnected && now() - this.#connectedAt >= GOOD
    this.#drop()
    this.error = error
    if (this.#refusals > 1) {
      const what = 'The token was refused twice. Sign in again, so that `token` gives another, then call `connect()`.'
      this.error = new LivesetError('AUTH_FAILED', what)
      return this.#become('needs-auth')
    }
    // A token that was refused, or has expired in use, is exchanged at once. All else waits: others were cut off too.
    const isUrgent = this.#refusals > 0 && (wasGood || !wasConnected)
    if (wasGood) this.#attempt = 0
    const wait = isUrgent ? 0 : this.wait(this.#attempt++)
    this.#timer = setTimeout(() => void this.#open(), wait)
    this.#become('reconnecting')
  }

  /** Forgets the socket. It may take long to close, and what it still says is of no interest. */
  #drop(): void {
    this.#generation++
    clearTimeout(this.#timer)
    this.#timer = undefined
    const socket = this.#socket
    this.#socket = undefined
    socket?.close()
  }

  #heard(): void {
    this.#heardAt = now()
    this.#isAsked = false
    this.lastMessageAt = new Date()
  }

  /** Looks in a while whether something was heard meanwhile. Timers may be late by hours, where a machine has slept. */
  #watch(wait: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      const silent = now() - this.#heardAt
      if (silent < SILENCE) this.#watch(SILENCE - silent)
      else if (this.#isAsked || this.status !== 'connected') this.#lost(new Error('The server is silent'))
      else this.#ask()
    }, wait)
  }

  #ask(): void {
    this.#isAsked = true
    this.send({ type: 'ping' })
    this.#watch(PATIENCE)
  }

  #wake(): void {
    if (this.status === 'connected') {
      this.#heardAt = Math.min(this.#heardAt, now() - SILENCE)
      this.#ask()
    } else if (this.#timer) this.connect()
  }

  #become(status: ConnectionStatus): void {
    if (this.status === status) return
    this.status = status
    this.onStatus()
    for (const listener of [...this.#listeners]) call(listener)
  }
}

/** The browser's `online`, and a page that becomes visible. Elsewhere, nothing. */
function browser(wake: () => void): () => void {
  const page = globalThis.document
  const look = () => page?.visibilityState === 'visible' && wake()
  globalThis.addEventListener?.('online', wake)
  page?.addEventListener('visibilitychange', look)
  return () => {
    globalThis.removeEventListener?.('online', wake)
    page?.removeEventListener('visibilitychange', look)
  }
}
