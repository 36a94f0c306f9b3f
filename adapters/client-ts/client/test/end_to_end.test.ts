/** The client against the real server, which is killed and started again. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createClient, type LivesetClient, type Query } from '../src/index.js'
import { Chance } from './fake.js'
import { Network } from './network.js'
import { program, Server } from './server.js'

interface Order {
  id: string
  status: string
  total: number
}

const put = (node: Order) => ({ op: 'upsert', set: 'orders', node })
const remove = (id: string) => ({ op: 'remove', set: 'orders', id })

if (!program && process.env['CI']) throw new Error('the server is missing: run `cargo build -p liveset-cli`')

describe.skipIf(!program)('a real server', () => {
  let server: Server
  let db: LivesetClient<{ orders: Order }>

  beforeEach(async () => {
    server = new Server()
    await server.start()
    db = createClient({ url: server.url, token: 's3cret', backoff: () => 50 })
  })
  afterEach(async () => {
    db.close()
    await server.end()
  })

  test('first rows, changes, and errors', async () => {
    await server.commit(put({ id: 'a', status: 'new', total: 2 }), put({ id: 'b', status: 'new', total: 1 }))
    const q = db.live({
      from: 'orders',
      where: 'status == $s and total < $most',
      params: { s: 'new', most: 5 },
      orderBy: 'total',
      fields: ['total'],
    })
    const changes = q.changes()
    await changes.next()
    expect(q.current).toMatchObject({ status: 'live', totalCount: 2, capped: false })
    expect(q.current.data).toEqual([
      { id: 'b', total: 1 },
      { id: 'a', total: 2 },
    ])
    await server.commit(put({ id: 'c', status: 'new', total: 1.5 }), put({ id: 'a', status: 'paid', total: 2 }))
    const { value } = await changes.next()
    expect(value).toEqual([
      { type: 'removed', id: 'a', row: { id: 'a', total: 2 }, reason: 'filter' },
      { type: 'added', id: 'c', row: { id: 'c', total: 1.5 }, reason: 'created' },
    ])
    expect(q.current.data.map(({ id }) => id)).toEqual(['b', 'c'])
    await expect(db.live({ from: 'orders', where: 'total >> 1' }).ready()).rejects.toMatchObject({
      code: 'INVALID_QUERY',
      message: expect.stringContaining('column') as string,
    })
    expect((await db.query({ from: 'orders', limit: 0 })).totalCount).toBe(3)
  })

  test('a write of its own is shown when it says so, by all lists at once', async () => {
    const all = db.live({ from: 'orders' })
    const cheap = db.live({ from: 'orders', where: 'total < 5' })
    const offs = [all.subscribe(() => {}), cheap.subscribe(() => {})]
    await Promise.all([all.ready(), cheap.ready()])
    for (let n = 0; n < 20; n++) {
      const { position } = await server.commit(put({ id: 'a', status: 'new', total: n % 10 }))
      await db.awaitPosition(position!)
      expect(all.current.data.map(({ total }) => total)).toEqual([n % 10])
      expect(cheap.current.data).toEqual(n % 10 < 5 ? all.current.data : [])
    }
    await expect(db.awaitPosition('0'.repeat(32))).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' })
    offs.forEach((off) => off())
  })

  test('events', async () => {
    const heard = new Promise((resolve) => db.events('jobs', ['jobCompleted'], resolve))
    await vi.waitFor(async () => {
      const answer = await fetch(`http://${server.address}/events`, {
        method: 'POST',
        headers: { authorization: 'Bearer s3cret' },
        body: JSON.stringify({ path: 'jobs/1', eventType: 'jobCompleted', data: { jobId: 1 } }),
      })
      expect(await answer.json()).toEqual({ delivered: 1 })
    })
    expect(await heard).toMatchObject({ eventType: 'jobCompleted', path: 'jobs', data: { jobId: 1 } })
  })

  test('a refused token', async () => {
    const token = vi.fn(() => 'wrong')
    const other = createClient({ url: server.url, token })
    await vi.waitFor(() => expect(other.connection.status).toBe('needs-auth'))
    expect(token.mock.calls).toEqual([[{ refused: false }], [{ refused: true }]])
    other.close()
  })

  test('the end of a socket is told within 1 s, and that of a link that died silently within 15 s', async () => {
    const network = new Network(() => server.address)
    const other = createClient({ url: await network.listen(), token: 's3cret', backoff: () => 50 })
    const q = other.live({ from: 'orders' })
    const told = async (ends: () => void) => {
      await vi.waitFor(() => expect(q.current.status).toBe('live'))
      const doubted = new Promise<void>((resolve) => {
        const off = q.subscribe(() => {
          if (q.current.status === 'live') return
          expect(q.current).toMatchObject({ status: 'stale', reason: 'offline' })
          off()
          resolve()
        })
      })
      const began = performance.now()
      ends()
      await doubted
      return (performance.now() - began) / 1_000
    }
    const off = q.subscribe(() => {})
    const [cut, stalled, killed] = [
      await told(() => network.cut()),
      await told(() => network.stall()),
      await told(() => void server.kill()),
    ]
    console.log(`told after ${cut} s, ${stalled} s and ${killed} s`)
    expect(cut).toBeLessThan(1)
    expect(stalled).toBeLessThan(15)
    expect(killed).toBeLessThan(1)
    off()
    other.close()
    network.close()
  })

  test('killed, and started with other rows: the list never flashes, and what is the same stays the same', async () => {
    const chance = new Chance(5)
    const table = new Map<string, Order>()
    const queries: Query<'orders'>[] = [
      { from: 'orders', orderBy: 'total desc' },
      { from: 'orders', where: 'status == $s', params: { s: 'new' }, orderBy: 'total', limit: 5 },
    ]
    const truth = ({ where, orderBy, limit }: Query) =>
      [...table.values()]
        .filter(({ status }) => !where || status === 'new')
        .sort((a, b) => (orderBy === 'total' ? a.total - b.total : b.total - a.total) || (a.id < b.id ? -1 : 1))
        .slice(0, limit)
    const change = () => {
      const ops = new Map<string, object>()
      for (let n = 0; n < 4; n++) {
        const id = `o${chance.below(30)}`
        const order = { id, status: chance.pick(['new', 'paid']), total: chance.below(100) }
        if (chance.below(4)) {
          table.set(id, order)
          ops.set(id, put(order))
        } else {
          table.delete(id)
          ops.set(id, remove(id))
        }
      }
      return [...ops.values()]
    }
    while (table.size < 10) await server.commit(...change())
    const watched = queries.map((query) => {
      const live = db.live(query)
      let rows = live.current.data
      let frames = 0
      live.subscribe(() => {
        const { data, status } = live.current
        frames++
        if (rows.length) expect(data.length, status).toBeGreaterThan(0)
        const before = new Map(rows.map((row) => [row.id, row]))
        for (const row of data) {
          const old = before.get(row.id)
          if (old?.status === row.status && old.total === row.total) expect(row).toBe(old)
        }
        rows = data
      })
      return { live, query, frames: () => frames }
    })
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 20; n++) await server.commit(...change())
      await vi.waitFor(() => {
        for (const { live, query } of watched) {
          expect(live.current.status).toBe('live')
          expect(live.current.data).toEqual(truth(query))
        }
      })
      await server.kill()
      await vi.waitFor(() => {
        for (const { live } of watched) expect(live.current).toMatchObject({ status: 'stale', reason: 'offline' })
      })
      // It comes back with a little more.
      change()
      await server.start([...table.values()])
    }
    for (const { frames } of watched) expect(frames()).toBeGreaterThan(10)
  })
})
