import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { dehydrate, hydrate } from '../src/hydration.js'
import { createClient, type LivesetClient } from '../src/index.js'
import { optimistic } from '../src/optimistic.js'
import { FakeServer, type Row } from './fake.js'

let server: FakeServer
let db: LivesetClient<{ rows: Row }>

const connect = () =>
  createClient<{ rows: Row }>({ url: 'ws://fake/ws', token: 't', WebSocket: server.WebSocket, backoff: () => 100 })

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
  server = new FakeServer()
  server.commit({ id: 'a', g: 1, n: 1 }, { id: 'b', g: 1, n: 2 })
  db = connect()
})
afterEach(() => {
  db.close()
  vi.useRealTimers()
})

const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms)

async function open() {
  const q = db.live({ from: 'rows' })
  const frames: string[] = []
  q.subscribe(() => frames.push(q.current.data.map(({ id, n }) => `${id}${n}`).join(' ')))
  await wait(10)
  return { q, frames }
}

test('a change is shown before the server has it, and until it has', async () => {
  const { q, frames } = await open()
  let answer = (_: string) => {}
  const done = optimistic(q, 'a', { n: 5 }, new Promise((resolve) => (answer = resolve)))
  expect(q.current.data).toEqual([{ id: 'a', g: 1, n: 5 }, { id: 'b', g: 1, n: 2 }])
  expect(q.current.data).toBe(q.current.data)
  const hidden = optimistic(q, 'b', null, Promise.resolve('p'))
  expect(q.current.data.map(({ id }) => id)).toEqual(['a'])
  await wait(10)
  await hidden
  // Another commit meanwhile leaves it where it is.
  server.commit({ id: 'a', g: 2, n: 1 })
  await wait(10)
  expect(q.current.data[0]).toEqual({ id: 'a', g: 2, n: 5 })
  server.commit({ id: 'a', g: 2, n: 5 })
  answer('p')
  await wait(10)
  await done
  expect(q.current.data[0]).toEqual({ id: 'a', g: 2, n: 5 })
  expect(frames.filter((frame, at) => frame !== frames[at - 1])).toEqual(['a1 b2', 'a5 b2', 'a5', 'a5 b2'])
})

test('a write that fails is taken back at once, one that is not seen after 30 s', async () => {
  const { q } = await open()
  await expect(optimistic(q, 'a', { n: 5 }, Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(q.current.data[0]!.n).toBe(1)
  for (const { socket } of server.sessions) socket.isDead = true
  server.isReachable = false
  const late = optimistic(q, 'a', { n: 5 }, Promise.resolve('p'))
  late.catch(() => {})
  await wait(29_000)
  expect(q.current.data[0]!.n).toBe(5)
  await wait(2_000)
  await expect(late).rejects.toMatchObject({ code: 'TIMEOUT' })
  expect(q.current.data[0]!.n).toBe(1)
})

test.for([false, true])('a page goes on from what the server has rendered (restarted: %s)', async (isRestarted) => {
  const q = db.live({ from: 'rows' })
  void q.ready()
  await wait(10)
  const state = JSON.parse(JSON.stringify(dehydrate(db))) as ReturnType<typeof dehydrate>
  db.close()
  if (isRestarted) server.restart()
  server.commit('a')
  db = connect()
  hydrate(db, state)
  const next = db.live({ from: 'rows' })
  const [, b] = next.current.data
  expect(next.current).toMatchObject({ status: 'stale', totalCount: 2, staleSince: new Date(state.at) })
  expect(b).toEqual({ id: 'b', g: 1, n: 2 })
  next.subscribe(() => {})
  await wait(10)
  expect(next.current).toMatchObject({ status: 'live', totalCount: 1 })
  expect(next.current.data[0]).toBe(b)
  expect(server.begun).toEqual({ created: 1, since: isRestarted ? 0 : 1, have: isRestarted ? 1 : 0 })
})
