/**
 * Random schedules of everything that can die, on fake time. Whatever happens, what is shown is a true moment, moments do
 * not go back, rows keep their identity; and when it is quiet, what is shown is the truth.
 *
 * `LIVESET_SEED=7` repeats one schedule, `LIVESET_SEEDS=5000` runs more.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createClient } from '../src/index.js'
import { Chance, FakeServer, type Dialect } from './fake.js'
import { queries, Watcher } from './watcher.js'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] }))
afterEach(() => void vi.useRealTimers())

async function run(seed: number, dialects: Dialect[]): Promise<FakeServer> {
  const chance = new Chance(seed)
  const server = new FakeServer(chance)
  let wake = () => {}
  server.dialect = dialects[0]!
  server.commit(...Array.from({ length: 12 }, (_, n) => ({ id: `r${n}`, g: n % 3, n: chance.below(20) })))
  const db = createClient({
    url: 'ws://fake/ws',
    token: () => new Promise((resolve) => setTimeout(() => resolve('t'), chance.below(100))),
    WebSocket: server.WebSocket,
    backoff: (attempt) => chance.next() * Math.min(15_000, 500 * 2 ** attempt),
    online: (call) => {
      wake = call
      return () => {}
    },
  })
  const watchers = queries('rows').map((query) => new Watcher(server.history, db, query))
  const session = () => chance.pick([...server.sessions])
  const commit = () => {
    const ops = Array.from({ length: 1 + chance.below(5) }, () => {
      const id = `r${chance.below(16)}`
      return chance.below(3) ? { id, g: chance.below(3), n: chance.below(20) } : id
    })
    server.commit(...ops)
  }
  for (let round = 0; round < 3; round++) {
    for (let step = 0; step < 40; step++) {
      const what = chance.below(24)
      if (what < 12) commit()
      else if (what === 12) session()?.socket.end()
      else if (what === 13) server.restart()
      else if (what === 14) server.isReachable = !server.isReachable
      else if (what === 15) session()?.end('TOKEN_EXPIRED')
      else if (what === 16) server.refusals = 1 + chance.below(3)
      else if (what === 17) session() && (session().socket.isDead = true)
      else if (what === 18) server.latency = chance.pick([0, 20, 3_000])
      else if (what === 19) vi.setSystemTime(Date.now() + (chance.next() - 0.5) * 1e9)
      else if (what === 20) server.floor = server.history.length - 1
      else if (what === 21) wake()
      else if (what === 22) session()?.status(chance.pick(['live', 'stale']))
      else if (what === 23) {
        server.dialect = chance.pick(dialects)
        server.restart()
      }
      await vi.advanceTimersByTimeAsync(chance.pick([0, 1, 10, 500, 20_000]))
    }
    // Quiet: all works again, and everybody has time.
    server.isReachable = true
    server.refusals = server.latency = 0
    for (const live of server.sessions) live.status('live')
    if (db.connection.status === 'needs-auth') db.connect()
    await vi.advanceTimersByTimeAsync(60_000)
    for (const watcher of watchers) watcher.quiet()
  }
  for (const { frames } of watchers) expect(frames).toBeGreaterThan(0)
  db.close()
  return server
}

const { LIVESET_SEED, LIVESET_SEEDS } = process.env
const seeds = LIVESET_SEED ? [Number(LIVESET_SEED)] : Array.from({ length: Number(LIVESET_SEEDS ?? 30) }, (_, n) => n)

test.for<Dialect[][]>([[['extended']], [['base']], [['base', 'extended']]])('%s', async ([dialects]) => {
  const begun = { since: 0, have: 0, created: 0 }
  for (const seed of seeds) {
    const server = await run(seed, dialects!).catch((error: unknown) => {
      throw new Error(`LIVESET_SEED=${seed}`, { cause: error })
    })
    for (const way of ['since', 'have', 'created'] as const) begun[way] += server.begun[way]
  }
  // All ways were taken.
  if (seeds.length > 10) {
    expect(begun.since).toBeGreaterThan(seeds.length)
    expect(begun.created).toBeGreaterThan(seeds.length)
    expect(begun.have > seeds.length).toBe(dialects!.includes('extended'))
  }
})
