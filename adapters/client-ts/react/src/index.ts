import type {
  Connection,
  EventOptions,
  LiveQuery,
  LivesetClient,
  LivesetEvent,
  Query,
  Registered,
  Sets,
  Snapshot,
  Status,
} from '@liveset/client'
import {
  createContext,
  createElement,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
  type ReactElement,
  type ReactNode,
} from 'react'

/** A live query in a component. */
export interface LiveResult<T> extends Omit<Snapshot<T>, 'status'> {
  /** `idle` where there is no query. */
  readonly status: Status | 'idle'
  /** Whether `data` and `totalCount` are those of the query before, as `keepPrevious` asks for. */
  readonly isPrevious: boolean
}

const Client = createContext<LivesetClient | undefined>(undefined)

/** Gives the client to the components inside. */
export function LivesetProvider<S extends Sets>(props: { client: LivesetClient<S>; children?: ReactNode }): ReactElement {
  return createElement(Client.Provider, { value: props.client as unknown as LivesetClient }, props.children)
}

/** The client of the provider. */
export function useLiveset<S extends Sets = Registered>(): LivesetClient<S> {
  const client = useContext(Client)
  if (!client) throw new Error('Put a <LivesetProvider client={createClient(…)}> around this component.')
  return client as unknown as LivesetClient<S>
}

/**
 * A live query, which may be written inline; `null` is none. With other arguments it shows what is known of those, which
 * may be nothing yet, or with `keepPrevious` what it showed before, marked by `isPrevious`.
 */
export function useLiveQuery<From extends keyof Registered & string>(
  query: Query<From, Registered[From]> | null,
  options?: { keepPrevious?: boolean },
): LiveResult<Registered[From]>
export function useLiveQuery<T extends object = never>(
  query: Query<keyof Registered & string, NoInfer<T>> | null,
  options?: { keepPrevious?: boolean },
): LiveResult<T>
export function useLiveQuery<T extends object>(
  query: Query | null,
  options: { keepPrevious?: boolean } = {},
): LiveResult<T> {
  const client = useLiveset<Sets>()
  const snapshot = useSnapshot(query && (client.live(query) as unknown as LiveQuery<T>))
  const shown = useRef<Snapshot<T>>(undefined)
  useEffect(() => {
    if (snapshot && snapshot.status !== 'loading') shown.current = snapshot
  }, [snapshot])
  const isPrevious = !!options.keepPrevious && snapshot?.status === 'loading' && !!shown.current
  const previous = isPrevious ? shown.current : undefined
  return useMemo(() => {
    const { data, totalCount, capped } = previous ?? snapshot ?? IDLE
    return { ...(snapshot ?? IDLE), data, totalCount, capped, isPrevious: !!previous }
  }, [snapshot, previous])
}

/** A live query that has rows: until then the component suspends. A query that is refused is thrown. */
export function useLiveQuerySuspense<From extends keyof Registered & string>(
  query: Query<From, Registered[From]>,
): Snapshot<Registered[From]>
export function useLiveQuerySuspense<T extends object = never>(
  query: Query<keyof Registered & string, NoInfer<T>>,
): Snapshot<T>
export function useLiveQuerySuspense<T extends object>(query: Query): Snapshot<T> {
  const live = useLiveset<Sets>().live(query) as unknown as LiveQuery<T>
  const snapshot = useSnapshot(live)
  // The promise belongs to the client, so a component that is thrown away and made again waits for the same one.
  if (snapshot.status === 'loading') throw live.ready()
  if (snapshot.error) throw snapshot.error
  return snapshot
}

/** Calls the listener, always that of the last render, for these events of a path. */
export function useEvents(
  path: string,
  events: readonly string[],
  listener: (event: LivesetEvent) => void,
  options: EventOptions = {},
): void {
  const client = useLiveset()
  const latest = useRef({ listener, options })
  useEffect(() => {
    latest.current = { listener, options }
  })
  const names = events.join()
  useEffect(
    () =>
      client.events(path, names.split(','), (event) => latest.current.listener(event), {
        onOverflow: (why) => latest.current.options.onOverflow?.(why),
        onError: (error) => (latest.current.options.onError ?? console.error)(error),
      }),
    [client, path, names],
  )
}

/** The state of the connection. */
export function useConnection(): Pick<Connection, 'status' | 'lastMessageAt' | 'error'> {
  const { connection } = useLiveset()
  const subscribe = useCallback((listener: () => void) => connection.subscribe(listener), [connection])
  const status = useSyncExternalStore(
    subscribe,
    () => connection.status,
    () => connection.status,
  )
  return { status, lastMessageAt: connection.lastMessageAt, error: connection.error }
}

const IDLE = {
  status: 'idle',
  reason: undefined,
  data: [],
  totalCount: 0,
  capped: false,
  changes: [],
  error: undefined,
  staleSince: undefined,
} as const

function useSnapshot<T>(live: LiveQuery<T>): Snapshot<T>
function useSnapshot<T>(live: LiveQuery<T> | null): Snapshot<T> | undefined
function useSnapshot<T>(live: LiveQuery<T> | null): Snapshot<T> | undefined {
  const subscribe = useCallback((listener: () => void) => live?.subscribe(listener) ?? (() => {}), [live])
  const current = () => live?.current
  return useSyncExternalStore(subscribe, current, current)
}
