/**
 * The schedules of `schedules.test.ts`, but with the real server, which is killed, behind a network that cuts, stalls and
 * delays, for two tabs at once.
 *
 * `LIVESET_SEED=7` repeats one schedule, `LIVESET_SEEDS=500` runs more, some at a time.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createClient } from '../src/index.js'
import { Chance, type Row, type Table } from './fake.js'
import { Network } from './network.js'
import { program, Server } from './server.js'
import { queries, Watcher } from './watcher.js'

const CONFIG = `
[auth]
tokens = [{ token = "s3cret", subject = "shop" }, { token = "boss", subject = "operator", admin = true }]
[[set]]
name = "orders"
load = "orders.ndjson"
`
const STEPS = 60
/** Schedules at a time: most of their time they wait. */
const BESIDE = 6
/** The largest row that a server takes has 1 MiB. */
const LARGE = 1_048_576 - 100

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

// The wall clock jumps. All else goes by one that does not.
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }))
afterEach(() => void vi.useRealTimers())

async function run(seed: number): Promise<void> {
  const chance = new Chance(seed)
  const history: Table[] = [new Map()]
  const server = new Server(CONFIG)
  await server.start([])
  const network = new Network(() => server.address)
  const url = await network.listen()
  const wakes: (() => void)[] = []
  // So many tokens are refused first.
  let refusals = 0
  const tabs = Array.from({ length: 2 }, () =>
    createClient({
      url,
      token: () => (refusals-- > 0 ? 'wrong' : 's3cret'),
      backoff: () => chance.below(50),
      online: (wake) => (wakes.push(wake), () => {}),
    }),
  )
  const watchers = tabs.flatMap((db) => queries('orders').map((query) => new Watcher(history, db, query)))

  const commit = async () => {
    const table = new Map(history.at(-1))
    const ops = new Map<string, object>()
    for (let n = 0; n <= chance.below(5); n++) {
      const id = `r${chance.below(16)}`
      const row: Row = { id, g: chance.below(3), n: chance.below(20) }
      if (!chance.below(40)) row.text = chance.pick(['x', 'y', 'z']).repeat(LARGE)
      const isRemoved = !chance.below(3)
      if (isRemoved) table.delete(id)
      else table.set(id, row)
      ops.set(id, isRemoved ? { op: 'remove', set: 'orders', id } : { op: 'upsert', set: 'orders', node: row })
    }
    history.push(table)
    await server.commit(...ops.values())
  }
  const quiet = async () => {
    refusals = network.delay = 0
    network.bytes = 65_536
    const isQuiet = () => {
      for (const db of tabs) if (db.connection.status === 'needs-auth') db.connect()
      for (const watcher of watchers) watcher.quiet()
    }
    // Longer than it takes to notice a link that died silently.
    const deadline = performance.now() + 30_000
    while (performance.now() < deadline) {
      try {
        return isQuiet()
      } catch {
        await sleep(20)
      }
    }
    isQuiet()
  }
  try {
    for (let step = 1; step <= STEPS; step++) {
      const what = chance.below(24)
      if (what < 13) await commit()
      else if (what === 13) network.cut()
      else if (what === 14) {
        network.stall()
        await commit()
        // Some notice by themselves. For most the other end gives up meanwhile.
        if (chance.below(8)) network.cut()
        else for (const wake of wakes) wake()
      } else if (what === 15) [network.delay, network.bytes] = chance.pick([[0, 65_536], [5, 65_536], [1, 4_096], [20, 65_536]])
      else if (what === 16) for (const wake of wakes) wake()
      else if (what === 17) {
        await server.kill()
        if (chance.below(2)) history.push(new Map([...history.at(-1)!].slice(1)))
        await server.start([...history.at(-1)!.values()])
      } else if (what === 18) expect((await server.post('/admin/revoke', '{"subject":"shop"}', 'boss')).ok).toBe(true)
      else if (what === 19) refusals = 1 + chance.below(3)
      else if (what === 20) vi.setSystemTime(Date.now() + (chance.next() - 0.5) * 1e9)
      else if (what === 21) {
        // A hidden tab: nothing runs, and then everything at once.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
        for (const wake of wakes) wake()
      } else await Promise.all([commit(), sleep(chance.below(10))])
      await sleep(chance.pick([0, 0, 1, 10, 60]))
      if (step % 20 === 0) await quiet()
    }
    for (const { frames } of watchers) expect(frames).toBeGreaterThan(0)
  } finally {
    for (const db of tabs) db.close()
    network.close()
    await server.end()
  }
}

const { LIVESET_SEED, LIVESET_SEEDS } = process.env
const seeds = LIVESET_SEED ? [Number(LIVESET_SEED)] : Array.from({ length: Number(LIVESET_SEEDS ?? 4) }, (_, n) => n)

test.skipIf(!program)(
  'every frame is a moment that was, and the last one is the truth',
  async () => {
    const failures: unknown[] = []
    const fail = (error: unknown) => void failures.push(error)
    process.on('uncaughtException', fail).on('unhandledRejection', fail)
    const left = seeds.slice()
    const work = async () => {
      for (let seed = left.shift(); seed !== undefined && !failures.length; seed = left.shift()) {
        await run(seed).catch((error: unknown) => fail(new Error(`LIVESET_SEED=${seed}`, { cause: error })))
        if (LIVESET_SEEDS) console.log(`LIVESET_SEED=${seed}`)
      }
    }
    await Promise.all(Array.from({ length: BESIDE }, work))
    process.off('uncaughtException', fail).off('unhandledRejection', fail)
    expect(failures).toEqual([])
  },
  60_000 + seeds.length * 30_000,
)
