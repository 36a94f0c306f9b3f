/**
 * The random operations of the simulator, done to the real server: commits of odd values and conditions, queries whose result
 * time changes, events, tokens that see less. What is shown is what the simulator's oracle computes: the program
 * `operations`, which `cargo build -p liveset-fuzz --example operations` builds.
 *
 * `LIVESET_SEED=7` repeats one run, `LIVESET_SEEDS=100` runs more.
 */
import { spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { expect, test } from 'vitest'
import { createClient, type LiveQuery, type LivesetClient, type Query } from '../src/index.js'
import type { WireQuery } from '../src/messages.js'
import { Chance } from './fake.js'
import { Network } from './network.js'
import { built, program, Server } from './server.js'

const CONFIG = `
[auth]
tokens = [{ token = "wide", subject = "wide" }, { token = "narrow", subject = "narrow" }]
[[policy]]
set = "*"
subjects = ["wide"]
[[policy]]
path = "*"
subjects = ["wide"]
[[policy]]
set = "things"
rows = "n >= 2"
[[set]]
name = "things"
load = "things.ndjson"
[[set]]
name = "dated"
key = "no"
load = "dated.ndjson"
fields = [
  { name = "at", type = "instant" },
  { name = "due", type = "instant" },
  { name = "o.when", type = "instant" },
]
`
const STEPS = 150
/** Longer than it takes to notice a link that died silently. */
const PATIENCE = 30_000

const oracle = built('examples/operations')
if (!oracle && process.env['CI']) throw new Error('the oracle is missing: `cargo build -p liveset-fuzz --example operations`')

type Row = Record<string, unknown>
interface Expected {
  totalCount: number
  capped: boolean
  rows: Row[]
}
type Step =
  | { do: 'commit'; batch: string; taken: boolean }
  | { do: 'open' | 'once'; client: number; id: number; query: WireQuery }
  | { do: 'close' | 'unsubscribe'; client: number; id: number }
  | { do: 'refused'; client: number; query: WireQuery; code: string }
  | { do: 'subscribe'; client: number; id: number; path: string; events: string[] }
  | { do: 'publish'; path: string; event: string; to: [number, number][] }
  | { do: 'cut'; client: number }
  | { do: 'token'; client: number; token: string }
  | { do: 'slow' | 'pause'; millis: number }
  | { do: 'stall' | 'restart' | 'check' }

/** The oracle's program: a line is answered by a line. */
class Oracle {
  readonly #child
  readonly #lines: AsyncIterator<string>
  readonly #reader: Interface

  constructor(seed: number) {
    this.#child = spawn(oracle!, [`${seed}`], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#reader = createInterface(this.#child.stdout)
    this.#lines = this.#reader[Symbol.asyncIterator]()
  }

  async ask<T>(line: string): Promise<T> {
    this.#child.stdin.write(`${line}\n`)
    const answer = await this.#lines.next()
    if (answer.done) throw new Error('the oracle has ended')
    return JSON.parse(answer.value) as T
  }

  end(): void {
    this.#child.kill()
  }
}

/** JSON with fields in the order of their names. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )

const asked = ({ edge, filter, params, orderBy, limit, node }: WireQuery) =>
  ({ from: edge, where: filter, params, orderBy, limit, fields: node?.fields }) as Query

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(check: () => Promise<void> | void): Promise<void> {
  const deadline = performance.now() + PATIENCE
  while (performance.now() < deadline) {
    try {
      return await check()
    } catch {
      await sleep(5)
    }
  }
  return check()
}

/** One tab, behind a network of its own. */
class Tab {
  token = 'wide'
  /** With which it has connected last. */
  #given = ''
  wake = () => {}
  db!: LivesetClient
  readonly network: Network
  readonly open = new Map<number, { query: WireQuery; live: LiveQuery<Row>; folded: Map<string, Row>; off: () => void }>()
  readonly subscribed = new Map<number, { heard: number; off: () => void }>()

  constructor(server: Server) {
    this.network = new Network(() => server.address)
  }

  async start(chance: Chance): Promise<void> {
    this.db = createClient({
      url: await this.network.listen(),
      token: () => (this.#given = this.token),
      backoff: () => chance.below(50),
      online: (wake) => ((this.wake = wake), () => {}),
      linger: 100,
    })
  }

  /** Connects with another token. A connection that is just being made may still have the old one. */
  async change(token: string): Promise<void> {
    this.token = token
    await until(() => {
      this.network.cut()
      expect(this.#given).toBe(token)
    })
  }

  watch(id: number, query: WireQuery): void {
    const live = this.db.live<Row>(asked(query))
    const folded = new Map<string, Row>()
    const changes = live.changes()
    const fold = async () => {
      for await (const batch of changes)
        for (const change of batch) {
          expect(folded.has(change.id), `${change.type} ${change.id}`).toBe(change.type !== 'added')
          if (change.type === 'removed') folded.delete(change.id)
          else folded.set(change.id, change.row)
        }
    }
    fold().catch((error: unknown) => queueMicrotask(() => { throw error }))
    const off = live.subscribe(() => {})
    this.open.set(id, { query, live, folded, off: () => (off(), void changes.return()) })
  }

  /** What is shown is the truth, and so is what changes have led to. */
  compare(expected: Record<string, Expected>): void {
    for (const [id, { rows, totalCount, capped }] of Object.entries(expected)) {
      const { query, live, folded } = this.open.get(Number(id))!
      const { status, data } = live.current
      const shown = { id, query, status, totalCount: live.current.totalCount, capped: live.current.capped, data: data.map(canonical) }
      expect(shown).toEqual({ id, query, status: 'live', totalCount, capped, data: rows.map(canonical) })
      expect([...folded.values()].map(canonical).sort()).toEqual(rows.map(canonical).sort())
    }
  }

  /** What was sent before has been answered. */
  async barrier(): Promise<void> {
    await this.db.query({ from: 'things', limit: 0, where: `n == ${performance.now()}` })
  }

  close(): void {
    this.db.close()
    this.network.close()
  }
}

async function run(seed: number): Promise<void> {
  const operations = new Oracle(seed)
  const server = new Server(CONFIG)
  const restart = async () => {
    await server.kill()
    const [things, dated] = [await operations.ask<string[]>('rows things'), await operations.ask<string[]>('rows dated')]
    await server.start({ 'things.ndjson': things, 'dated.ndjson': dated })
  }
  await restart()
  const chance = new Chance(seed)
  const tabs = [new Tab(server), new Tab(server)]
  await Promise.all(tabs.map((tab) => tab.start(chance)))
  const check = () =>
    Promise.all(tabs.map((tab, n) => until(async () => tab.compare(await operations.ask(`expected ${n}`)))))
  const heard = () => tabs.map(({ subscribed }) => Object.fromEntries([...subscribed].map(([id, { heard }]) => [id, heard])))
  let done = 0
  let last: Step | undefined
  try {
    // The last one is a check.
    for (; done < STEPS || last?.do !== 'check'; done++) {
      const step = (last = await operations.ask<Step>('step'))
      if (step.do === 'commit') {
        const answer = await server.post('/batch', step.batch, 'wide')
        if (answer.ok !== step.taken) throw new Error(await answer.text())
      } else if (step.do === 'open') tabs[step.client]!.watch(step.id, step.query)
      else if (step.do === 'close') {
        tabs[step.client]!.open.get(step.id)!.off()
        tabs[step.client]!.open.delete(step.id)
      } else if (step.do === 'once') {
        await until(async () => {
          const { data } = await tabs[step.client]!.db.query<Row>(asked(step.query))
          const expected = await operations.ask<Record<string, Expected>>(`expected ${step.client}`)
          expect(data.map(canonical)).toEqual(expected[step.id]!.rows.map(canonical))
        })
      } else if (step.do === 'refused')
        await expect(tabs[step.client]!.db.query(asked(step.query))).rejects.toMatchObject({ code: step.code })
      else if (step.do === 'subscribe') {
        const hears = { heard: 0, off: () => {} }
        hears.off = tabs[step.client]!.db.events(step.path, step.events, () => hears.heard++)
        tabs[step.client]!.subscribed.set(step.id, hears)
      } else if (step.do === 'unsubscribe') {
        tabs[step.client]!.subscribed.get(step.id)!.off()
        tabs[step.client]!.subscribed.delete(step.id)
      } else if (step.do === 'publish') {
        await Promise.all(tabs.map((tab) => tab.barrier()))
        const expected = heard()
        for (const [client, id] of step.to) expected[client]![id]!++
        const event = { path: step.path, eventType: step.event, data: { n: 1 } }
        expect((await server.post('/events', JSON.stringify(event), 'wide')).ok).toBe(true)
        await until(() => expect(heard()).toEqual(expected))
        await Promise.all(tabs.map((tab) => tab.barrier()))
        expect(heard()).toEqual(expected)
      } else if (step.do === 'cut') tabs[step.client]!.network.cut()
      else if (step.do === 'stall') {
        for (const { network } of tabs) network.stall()
        for (const { wake } of tabs) wake()
      } else if (step.do === 'slow') for (const { network } of tabs) network.delay = step.millis
      else if (step.do === 'token') await tabs[step.client]!.change(step.token)
      else if (step.do === 'restart') await restart()
      else if (step.do === 'pause') await sleep(step.millis)
      else await check()
    }
  } catch (error) {
    // What the server says when it is asked anew.
    const asked = tabs.flatMap(({ open }) => [...open].map(([id, { query }]) => ({ id, query })))
    for (const { id, query } of asked)
      console.error(id, await (await server.post('/query', JSON.stringify(query), 'wide')).text().catch(String))
    throw new Error(`LIVESET_SEED=${seed}, step ${done}: ${JSON.stringify(last)}`, { cause: error })
  } finally {
    for (const tab of tabs) tab.close()
    operations.end()
    await server.end()
  }
}

const { LIVESET_SEED, LIVESET_SEEDS } = process.env
const seeds = LIVESET_SEED ? [Number(LIVESET_SEED)] : Array.from({ length: Number(LIVESET_SEEDS ?? 3) }, (_, n) => n)

test.skipIf(!program || !oracle)(
  'lists show what the oracle computes',
  async () => {
    const left = seeds.slice()
    const work = async () => {
      for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
        await run(seed)
        if (LIVESET_SEEDS) console.log(`LIVESET_SEED=${seed}`)
      }
    }
    await Promise.all([work(), work(), work()])
  },
  60_000 + seeds.length * 60_000,
)
