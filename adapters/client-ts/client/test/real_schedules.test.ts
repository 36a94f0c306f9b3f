/**
 * The schedules of `schedules.test.ts`, but with the real server, which is killed, behind a network that cuts, stalls and
 * delays. `LIVESET_REAL_STEPS=2000` takes longer.
 */
import { createServer, type AddressInfo, type Server as Listener, type Socket } from 'node:net'
import { connect } from 'node:net'
import { expect, test, vi } from 'vitest'
import { createClient } from '../src/index.js'
import { Chance, type Row, type Table } from './fake.js'
import { program, Server } from './server.js'
import { queries, Watcher } from './watcher.js'

/** A network in front of a server. */
class Network {
  readonly #listener: Listener
  readonly #pairs = new Set<[Socket, Socket]>()
  delay = 0

  constructor(readonly target: () => string) {
    this.#listener = createServer((client) => {
      const [host, port] = this.target().split(':')
      const server = connect(Number(port), host)
      const pair: [Socket, Socket] = [client, server]
      this.#pairs.add(pair)
      for (const [from, to] of [pair, [server, client] as const]) {
        let last = 0
        from.on('data', (data) => {
          last = Math.max(last, performance.now() + this.delay)
          setTimeout(() => to.write(data), Math.max(0, last - performance.now()))
        })
        from.on('error', () => {})
        from.on('close', () => {
          to.destroy()
          this.#pairs.delete(pair)
        })
      }
    })
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#listener.listen(0, '127.0.0.1', resolve))
    return `ws://127.0.0.1:${(this.#listener.address() as AddressInfo).port}/ws`
  }

  /** All connections end. What is on the way is lost. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** All connections go silent, and nobody is told. */
  stall(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.removeAllListeners('data').resume()
  }

  close(): void {
    this.#listener.close()
    this.cut()
  }
}

test.skipIf(!program)('every frame is a moment that was, and the last one is the truth', async () => {
  const seed = Number(process.env['LIVESET_SEED'] ?? 1)
  const steps = Number(process.env['LIVESET_REAL_STEPS'] ?? 120)
  const chance = new Chance(seed)
  const history: Table[] = [new Map()]
  const server = new Server()
  await server.start()
  const network = new Network(() => server.address)
  const url = await network.listen()
  const wakes: (() => void)[] = []
  const clients = Array.from({ length: 2 }, () =>
    createClient({
      url,
      token: 's3cret',
      backoff: () => chance.below(50),
      online: (wake) => (wakes.push(wake), () => {}),
    }),
  )
  const watchers = clients.flatMap((db) => queries('orders').map((query) => new Watcher(history, db, query)))
  const failures: unknown[] = []
  process.on('uncaughtException', (error) => failures.push(error))

  const commit = async () => {
    const table = new Map(history.at(-1))
    const ops = new Map<string, object>()
    for (let n = 0; n <= chance.below(5); n++) {
      const id = `r${chance.below(16)}`
      const row: Row = { id, g: chance.below(3), n: chance.below(20) }
      const isRemoved = !chance.below(3)
      if (isRemoved) table.delete(id)
      else table.set(id, row)
      ops.set(id, isRemoved ? { op: 'remove', set: 'orders', id } : { op: 'upsert', set: 'orders', node: row })
    }
    history.push(table)
    await server.commit(...ops.values())
  }
  for (let step = 0; step < steps; step++) {
    const what = chance.below(20)
    if (what < 14) await commit()
    else if (what === 14) network.cut()
    else if (what === 15) {
      network.stall()
      await commit()
      // As on a machine that wakes up: the client asks, and after 4 s gives up. That long is not waited here.
      network.cut()
    } else if (what === 16) network.delay = chance.pick([0, 5, 30])
    else if (what === 17) for (const wake of wakes) wake()
    else if (what === 18) {
      await server.kill()
      if (chance.below(2)) history.push(new Map([...history.at(-1)!].slice(1)))
      await server.start([...history.at(-1)!.values()])
    }
    await new Promise((resolve) => setTimeout(resolve, chance.pick([0, 0, 1, 10, 60])))
    if (step % 40 === 39)
      await vi.waitFor(() => watchers.forEach((watcher) => watcher.quiet()), { timeout: 10_000, interval: 20 })
    expect(failures).toEqual([])
  }
  for (const db of clients) db.close()
  network.close()
  await server.end()
})
