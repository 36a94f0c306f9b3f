import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createClient, type ClientOptions, type LivesetClient } from '../src/index.js'
import { Chance, FakeServer, type Row } from './fake.js'

let server: FakeServer
let clients: LivesetClient[] = []

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
  server = new FakeServer()
})
afterEach(() => {
  for (const db of clients) db.close()
  clients = []
  vi.useRealTimers()
})

function connect(options: Partial<ClientOptions> = {}): LivesetClient<{ rows: Row }> {
  const db = createClient<{ rows: Row }>({
    url: 'ws://fake/ws',
    token: 't',
    WebSocket: server.WebSocket,
    backoff: () => 100,
    ...options,
  })
  clients.push(db)
  return db
}

const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms)

/** The outcome of a promise that needs time. */
async function soon<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  await wait(10)
  return promise
}
const row = (id: string, n: number, g = 0): Row => ({ id, g, n })
const sent = (type: string) => server.received.filter((message) => message.type === type).length

test('a list is sorted, stays sorted, and unchanged rows stay the same objects', async () => {
  server.commit(row('a', 2), row('b', 1))
  const q = connect().live({ from: 'rows', orderBy: 'n' })
  expect(q.current).toMatchObject({ status: 'loading', reason: undefined, data: [] })
  const frames = vi.fn()
  q.subscribe(frames)
  await soon(q.ready())
  const before = q.current
  expect(before).toMatchObject({ status: 'live', data: [row('b', 1), row('a', 2)], totalCount: 2, capped: false })
  expect(before.changes.map(({ type, id }) => `${type} ${id}`)).toEqual(['added b', 'added a'])
  frames.mockClear()
  server.commit(row('c', 0), 'b')
  await wait(10)
  expect(frames).toHaveBeenCalledTimes(1)
  expect(q.current.data).toEqual([row('c', 0), row('a', 2)])
  expect(q.current.data[1]).toBe(before.data[1])
  expect(q.current.changes).toEqual([
    { type: 'removed', id: 'b', row: row('b', 1), reason: 'filter' },
    { type: 'added', id: 'c', row: row('c', 0), reason: undefined },
  ])
  // The earlier snapshot is what it was.
  expect(before.data).toEqual([row('b', 1), row('a', 2)])
  expect(q.current).toBe(q.current)
})

test('a commit is one notification over all queries, which show one moment', async () => {
  server.commit(row('a', 1))
  const db = connect()
  const queries = [undefined, 10, 1].map((limit) => db.live({ from: 'rows', orderBy: 'n', limit }))
  const frames: string[] = []
  const listener = () => frames.push(queries.map(({ current }) => current.data.map(({ n }) => n).join()).join(' '))
  for (const q of queries) q.subscribe(listener)
  await soon(Promise.all(queries.map((q) => q.ready())))
  frames.length = 0
  server.commit(row('a', 2))
  server.commit(row('a', 4), row('b', 3))
  await wait(10)
  expect(frames).toEqual(['2 2 2', '3,4 3,4 3'])
})

test('the same query is one subscription, and is kept for a moment', async () => {
  server.commit(row('a', 1))
  const db = connect({ linger: 1_000 })
  const q = db.live({ from: 'rows', where: 'g == $g', params: { g: 0 } })
  expect(db.live({ params: { g: 0 }, where: 'g == $g', from: 'rows' })).toBe(q)
  expect(db.live({ from: 'rows', where: 'g == $g', params: { g: 1 } })).not.toBe(q)
  const [one, two] = [q.subscribe(() => {}), q.subscribe(() => {})]
  await soon(q.ready())
  one()
  one()
  await wait(2_000)
  expect([sent('createLiveQuery'), sent('destroyLiveQuery')]).toEqual([1, 0])
  two()
  await wait(500)
  const three = q.subscribe(() => {})
  await wait(2_000)
  expect([sent('createLiveQuery'), sent('destroyLiveQuery')]).toEqual([1, 0])
  three()
  await wait(2_000)
  expect([sent('createLiveQuery'), sent('destroyLiveQuery')]).toEqual([1, 1])
  // Whoever has it still can listen again, and goes on from the rows that are there.
  server.commit(row('b', 2))
  const data = q.current.data
  q.subscribe(() => {})
  await wait(10)
  expect(q.current).toMatchObject({ status: 'live', data: [row('a', 1), row('b', 2)] })
  expect(q.current.data[0]).toBe(data[0])
  expect(server.begun).toEqual({ created: 1, since: 1, have: 0 })
})

test('what nobody listens to is forgotten', async () => {
  const db = connect({ linger: 1_000 })
  const q = db.live({ from: 'rows' })
  await wait(2_000)
  expect(db.live({ from: 'rows' })).not.toBe(q)
  expect(sent('createLiveQuery')).toBe(0)
})

test('rows stay while the connection is lost, and the status says so at once', async () => {
  server.commit(row('a', 1))
  const db = connect()
  const q = db.live({ from: 'rows' })
  q.subscribe(() => {})
  await soon(q.ready())
  server.isReachable = false
  server.restart()
  expect(q.current).toMatchObject({ status: 'stale', reason: 'offline', data: [row('a', 1)] })
  expect(q.current.staleSince).toEqual(new Date())
  expect(db.connection.status).toBe('reconnecting')
  server.commit(row('b', 2))
  await wait(60_000)
  expect(q.current.status).toBe('stale')
  server.isReachable = true
  await wait(200)
  expect(q.current).toMatchObject({ status: 'live', data: [row('a', 1), row('b', 2)], staleSince: undefined })
  expect(server.begun).toEqual({ created: 1, since: 0, have: 1 })
})

test('an update that comes to nothing is none', async () => {
  server.commit(row('a', 1), row('b', 2))
  const q = connect().live({ from: 'rows', orderBy: 'n' })
  q.subscribe(() => {})
  await soon(q.ready())
  const { data } = q.current
  // As a server sends it that has folded two commits, and does not keep how the row was before.
  for (const session of server.sessions) {
    const head = { type: 'liveQueryUpdatedNode', id: '1', version: 'later' } as const
    session.send({ ...head, nodeId: 'b', data: row('b', 2), index: 1, etag: 'b' })
    session.send({ type: 'commit' })
  }
  await wait(10)
  expect(q.current.data).toBe(data)
  expect(q.current.changes).toEqual([])
})

test('a row that leaves and comes back within a step is the same, and no change', async () => {
  server.commit(row('a', 1), row('b', 2), row('c', 3))
  const q = connect().live({ from: 'rows', orderBy: 'n' })
  q.subscribe(() => {})
  await soon(q.ready())
  const { data } = q.current
  // As for a slow connection: what several commits have changed is one step.
  const tell = async (...messages: object[]) => {
    for (const session of server.sessions)
      for (const message of [...messages, { type: 'commit' }]) session.send({ id: '1', version: '9', ...message } as never)
    await wait(10)
  }
  const [gone, back] = [{ type: 'liveQueryRemovedNode' }, { type: 'liveQueryAddedNode' }]
  await tell({ ...gone, nodeId: 'b' }, { ...back, nodeId: 'b', data: row('b', 2), index: 1 })
  expect(q.current.data).toBe(data)
  expect(q.current.changes).toEqual([])
  await tell({ ...gone, nodeId: 'b' }, { ...gone, nodeId: 'a' }, { ...back, nodeId: 'b', data: row('b', 2), index: 0 })
  expect(q.current.data).toEqual([row('b', 2), row('c', 3)])
  expect(q.current.data[0]).toBe(data[1])
  expect(q.current.changes).toEqual([{ type: 'removed', id: 'a', row: row('a', 1) }])
  // What has left for good is a new row when it comes again.
  await tell({ ...back, nodeId: 'a', data: row('a', 1), index: 0 })
  expect(q.current.changes).toEqual([{ type: 'added', id: 'a', row: row('a', 1), reason: undefined }])
  expect(q.current.data[0]).not.toBe(data[0])
})

test('a query that was never answered says why', async () => {
  server.isReachable = false
  const q = connect().live({ from: 'rows' })
  q.subscribe(() => {})
  await wait(10)
  expect(q.current).toMatchObject({ status: 'loading', reason: 'offline' })
})

test('the server that is behind its source says so', async () => {
  const q = connect().live({ from: 'rows' })
  q.subscribe(() => {})
  await soon(q.ready())
  for (const session of server.sessions) session.status('stale')
  await wait(10)
  expect(q.current).toMatchObject({ status: 'stale', reason: 'source' })
  expect(q.current.staleSince).toBeInstanceOf(Date)
  for (const session of server.sessions) session.status('live')
  await wait(10)
  expect(q.current).toMatchObject({ status: 'live', reason: undefined })
})

test('a connection that died silently is noticed within 15 s', async () => {
  const db = connect()
  const q = db.live({ from: 'rows' })
  q.subscribe(() => {})
  await soon(q.ready())
  // A quiet connection that lives is left alone.
  await wait(60_000)
  expect(db.connection.status).toBe('connected')
  expect(server.sessions.size).toBe(1)
  server.isReachable = false
  for (const { socket } of server.sessions) socket.isDead = true
  await wait(14_900)
  expect(q.current).toMatchObject({ status: 'stale', reason: 'offline' })
})

test('waking up looks at the connection at once, and ends the wait for the next attempt', async () => {
  let wake = () => {}
  const db = connect({ backoff: () => 10_000, online: (call) => ((wake = call), () => {}) })
  await wait(100)
  expect(db.connection.status).toBe('connected')
  for (const { socket } of server.sessions) socket.isDead = true
  wake()
  await wait(4_100)
  expect(db.connection.status).toBe('reconnecting')
  wake()
  await wait(10)
  expect(db.connection.status).toBe('connected')
})

test('a token is refreshed once, and then somebody has to sign in', async () => {
  const token = vi.fn(() => 't')
  const db = connect({ token })
  const q = db.live({ from: 'rows' })
  q.subscribe(() => {})
  await soon(q.ready())
  expect(token.mock.calls).toEqual([[{ refused: false }]])
  await wait(10_000)
  server.refusals = 1
  for (const session of server.sessions) session.end('TOKEN_EXPIRED')
  // One that was refused before it could be used, after one that has expired.
  await wait(10)
  expect(token.mock.calls.slice(1)).toEqual([[{ refused: true }]])
  expect(db.connection.status).toBe('needs-auth')
  expect(db.connection.error).toMatchObject({ code: 'AUTH_FAILED' })
  expect(q.current).toMatchObject({ status: 'stale', reason: 'needs-auth' })
  await wait(100_000)
  expect(token).toHaveBeenCalledTimes(2)
  server.refusals = 1
  db.connect()
  await wait(10)
  expect(db.connection.status).toBe('connected')
  expect(q.current.status).toBe('live')
})

test('a token that expires in use is exchanged at once', async () => {
  const db = connect({ backoff: () => 60_000 })
  await wait(20_000)
  for (const session of server.sessions) session.end('TOKEN_EXPIRED')
  await wait(10)
  expect(db.connection.status).toBe('connected')
})

test('a token that cannot be had is asked for again', async () => {
  let isBroken = true
  const token = async () => {
    if (isBroken) throw new Error('no network')
    return 't'
  }
  const db = connect({ token })
  await wait(1_000)
  expect(db.connection).toMatchObject({ status: 'reconnecting', error: { message: 'no network' } })
  isBroken = false
  await wait(200)
  expect(db.connection).toMatchObject({ status: 'connected', error: undefined })
})

test('attempts are spread by chance, and further apart', async () => {
  server.isReachable = false
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const sockets: number[] = []
  const Fake = server.WebSocket
  const WebSocket = class {
    constructor(url: string) {
      sockets.push(performance.now())
      return new Fake(url)
    }
  } as typeof Fake
  clients.push(createClient({ url: 'ws://fake/ws', token: 't', WebSocket }))
  await wait(60_000)
  const waits = sockets.slice(1).map((at, n) => Math.round((at - sockets[n]!) / 10) * 10)
  expect(waits.slice(0, 8)).toEqual([250, 500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500])
  vi.restoreAllMocks()
})

test('an error of one query leaves the others alone', async () => {
  const db = connect()
  const bad = db.live({ from: 'rwos' } as never)
  const good = db.live({ from: 'rows' })
  good.subscribe(() => {})
  await expect(soon(bad.ready())).rejects.toMatchObject({ code: 'INVALID_QUERY', message: "there is no set 'rwos'" })
  expect(bad.current).toMatchObject({ status: 'error', reason: 'refused', error: { code: 'INVALID_QUERY' } })
  await expect(soon(db.query({ from: 'rwos' } as never))).rejects.toThrow("there is no set 'rwos'")
  await soon(good.ready())
  expect(good.current.status).toBe('live')
})

test('a query that is forbidden from now on shows nothing any more; one that has no room is asked again', async () => {
  server.commit(row('a', 1))
  const q = connect().live({ from: 'rows' })
  q.subscribe(() => {})
  await soon(q.ready())
  const end = (code: string, id: string) => {
    for (const session of server.sessions) session.send({ type: 'error', code, message: code, id })
  }
  end('OVERLOADED', '1')
  await wait(1)
  expect(q.current).toMatchObject({ status: 'stale', reason: 'overloaded', data: [row('a', 1)] })
  await wait(200)
  expect(q.current).toMatchObject({ status: 'live', reason: undefined })
  end('LIMIT_EXCEEDED', '2')
  await wait(1)
  expect(q.current).toMatchObject({ status: 'stale', reason: 'overloaded', data: [row('a', 1)] })
  await wait(200)
  expect(q.current).toMatchObject({ status: 'live', reason: undefined })
  end('FORBIDDEN', '3')
  await wait(1)
  expect(q.current).toMatchObject({ status: 'error', data: [], error: { code: 'FORBIDDEN' } })
  // The next connection asks again: the token may be another.
  server.restart()
  await wait(200)
  expect(q.current).toMatchObject({ status: 'live', data: [row('a', 1)], error: undefined })
})

test('a query once is its result, and ends', async () => {
  server.commit(row('a', 1), row('b', 2))
  const db = connect()
  expect(await soon(db.query({ from: 'rows', limit: 1 }))).toMatchObject({ data: [row('a', 1)], totalCount: 2, capped: true })
  await wait(10)
  expect(sent('destroyLiveQuery')).toBe(1)
})

test('changes come by commit; a slow reader gets several as one', async () => {
  server.commit(row('a', 1))
  const changes = connect().live({ from: 'rows' }).changes()
  const next = async () => (await soon(changes.next())).value?.map(({ type, id }) => `${type} ${id}`)
  expect(await next()).toEqual(['added a'])
  const one = next()
  server.commit(row('b', 1))
  await wait(10)
  expect(await one).toEqual(['added b'])
  server.commit(row('c', 1), row('a', 2))
  await wait(10)
  server.commit('c', row('d', 1))
  await wait(10)
  expect(await next()).toEqual(['updated a', 'added d'])
  const last = next()
  for (const db of clients) db.close()
  expect(await last).toBeUndefined()
  expect(sent('destroyLiveQuery')).toBe(0)
})

test('who stops reading changes stops listening', async () => {
  server.commit(row('a', 1))
  const changes = connect().live({ from: 'rows' }).changes()
  await soon(changes.next())
  await changes.return()
  await wait(6_000)
  expect(sent('destroyLiveQuery')).toBe(1)
})

test('who stops while waiting for changes stops listening too', async () => {
  server.commit(row('a', 1))
  const changes = connect().live({ from: 'rows' }).changes()
  await soon(changes.next())
  const next = changes.next()
  await changes.return()
  expect(await next).toEqual({ done: true, value: undefined })
  await wait(6_000)
  expect(sent('destroyLiveQuery')).toBe(1)
})

test('events reach their listeners, also after a new connection', async () => {
  const db = connect()
  const [listener, onOverflow, onError] = [vi.fn(), vi.fn(), vi.fn()]
  const off = db.events('jobs', ['jobCompleted'], listener, { onOverflow, onError })
  await wait(10)
  const tell = (message: object) => {
    for (const session of server.sessions) session.send(message as never)
  }
  const event = { type: 'event', subscriptionIds: ['1', '9'], eventType: 'jobCompleted', path: 'jobs', data: 7 }
  tell(event)
  tell({ type: 'warning', code: 'QUEUE_OVERFLOW', message: '5 events dropped', subscriptionId: '1' })
  await wait(10)
  expect(listener.mock.calls).toEqual([[event]])
  expect(onOverflow.mock.calls).toEqual([[{ reason: 'slow', message: '5 events dropped' }]])
  server.restart()
  await wait(200)
  expect(sent('subscribeEvents')).toBe(2)
  expect(onOverflow).toHaveBeenCalledTimes(2)
  tell({ type: 'error', code: 'FORBIDDEN', message: 'no', id: '1' })
  await wait(10)
  expect(onError.mock.calls).toMatchObject([[{ code: 'FORBIDDEN' }]])
  off()
  off()
  await wait(10)
  expect(sent('unsubscribeEvents')).toBe(1)
})

test('a position is waited for over connections', async () => {
  const db = connect()
  const reached = db.awaitPosition('p')
  await wait(10)
  await reached
  expect(sent('awaitPosition')).toBe(1)
  server.isReachable = false
  server.restart()
  const later = db.awaitPosition('p')
  await wait(1_000)
  server.isReachable = true
  await wait(200)
  await later
  const never = db.awaitPosition('p')
  db.close()
  await expect(never).rejects.toMatchObject({ code: 'CLOSED' })
})

test('a listener that throws stops nothing', async () => {
  const q = connect().live({ from: 'rows' })
  const other = vi.fn()
  q.subscribe(() => {
    if (q.current.status === 'live') throw new Error('a bug of the host')
  })
  q.subscribe(other)
  await expect(soon(q.ready())).rejects.toThrow('a bug of the host')
  expect(other).toHaveBeenCalled()
})

test('a closed client is closed everywhere, and stays so', async () => {
  const db = connect()
  const q = db.live({ from: 'rows' })
  const early = q.current
  expect(early.status).toBe('loading')
  const ready = q.ready()
  db.close()
  await expect(ready).rejects.toMatchObject({ code: 'CLOSED' })
  expect(q.current.status).toBe('closed')
  await expect(db.query({ from: 'rows' })).rejects.toMatchObject({ code: 'CLOSED' })
  db.connect()
  await wait(60_000)
  expect(db.connection.status).toBe('closed')
  expect(server.sessions.size).toBe(0)
})

test('what was resumed is shown with the count that belongs to it', async () => {
  for (let seed = 0; seed < 20; seed++) {
    server = new FakeServer(new Chance(seed))
    server.commit(row('a', 1), row('b', 2))
    const q = connect().live({ from: 'rows', orderBy: 'n' })
    const seen: [number, number][] = []
    q.subscribe(() => seen.push([q.current.data.length, q.current.totalCount]))
    await soon(q.ready())
    // Each message takes up to three seconds from now on: much may lie between two of them.
    server.latency = 3_000
    if (seed % 2) server.restart()
    else for (const session of [...server.sessions]) session.socket.end()
    server.commit(row('c', 3), row('d', 4))
    await wait(60_000)
    expect(q.current.data.map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd'])
    expect(server.begun[seed % 2 ? 'have' : 'since']).toBeGreaterThan(0)
    expect(seen.filter(([rows, count]) => rows !== count)).toEqual([])
  }
})
