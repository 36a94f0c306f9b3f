import { expect } from 'vitest'
import type { Change, LiveQuery, LivesetClient, Query } from '../src/index.js'
import { wire } from '../src/query.js'
import { result, type Row, type Table } from './fake.js'

export const queries = (from: string): Query[] => [
  { from, orderBy: 'n' },
  { from, orderBy: 'n', limit: 4 },
  { from, where: 'g == $g', params: { g: 1 }, orderBy: 'n' },
  { from, where: 'g == $g', params: { g: 2 }, limit: 0 },
]

/** Tells moments apart. Of a long text its length and its beginning do; all of it is compared when it is quiet. */
const json = (rows: readonly Row[]) => rows.map(({ id, g, n, text }) => [id, g, n, text?.length, text?.[0]].join()).join(' ')

/**
 * Checks each frame of one live query: it shows a moment that was, no earlier than the frame before, and rows that did not
 * change are the same objects.
 */
export class Watcher {
  readonly query: LiveQuery<Row>
  readonly folded: Map<string, Row> = new Map()
  frames = 0
  #data: readonly Row[] = []
  #moment = 0
  #wasShown = false

  constructor(
    /** Every state that there has been. */
    readonly history: readonly Table[],
    db: LivesetClient,
    readonly asked: Query,
  ) {
    this.query = db.live<Row>(asked)
    this.query.subscribe(() => this.frame())
    void this.#fold()
  }

  async #fold(): Promise<void> {
    for await (const batch of this.query.changes()) for (const change of batch) this.#apply(change)
  }

  #apply({ type, id, row }: Change<Row>): void {
    // Nothing is added twice, and nothing else is changed or removed than what is there.
    expect(this.folded.has(id), `${type} ${id}`).toBe(type !== 'added')
    if (type === 'removed') this.folded.delete(id)
    else this.folded.set(id, row)
  }

  frame(): void {
    this.frames++
    const { status, data } = this.query.current
    if (status === 'live' || status === 'stale') this.#wasShown = true
    if (!this.#wasShown) return
    const shown = json(data)
    const later = this.history.slice(this.#moment).findIndex((table) => json(result(table, wire(this.asked))) === shown)
    expect(later, `no moment since ${this.#moment} shows ${shown}`).toBeGreaterThanOrEqual(0)
    this.#moment += later
    const before = new Map(this.#data.map((row) => [row.id, row]))
    for (const row of data) {
      const old = before.get(row.id)
      if (old && json([old]) === json([row])) expect(row).toBe(old)
    }
    if (json(this.#data) === shown && this.#data.length) expect(data).toBe(this.#data)
    this.#data = data
  }

  /** What is shown is the truth, and so is what changes have led to. */
  quiet(): void {
    const { status, data, totalCount } = this.query.current
    const table = this.history.at(-1)!
    const truth = result(table, wire(this.asked))
    expect(status).toBe('live')
    expect(data).toEqual(truth)
    expect(totalCount).toBe(result(table, { ...wire(this.asked), limit: 1e9 }).length)
    const folded = [...this.folded.values()]
    expect(folded.sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual(truth.sort((a, b) => (a.id < b.id ? -1 : 1)))
  }
}
