/** Vectors that the engine has written, which clients in all languages share: of the language, and of etags. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import * as builder from '../src/builder.js'
import { createClient, type Socket } from '../src/index.js'
import { wire } from '../src/query.js'
import { same } from '../src/rows.js'
import { program, Server } from './server.js'

const read = <T>(path: string): T =>
  JSON.parse(readFileSync(fileURLToPath(new URL(`../../../../${path}`, import.meta.url)), 'utf8')) as T

type Tree = { [name: string]: unknown[] }
interface Case {
  filter: Tree
  where: string
  params: Record<string, unknown>
  order: (string | { desc: string })[]
  orderBy: string
  ids: string[]
}
const { rows, cases } = read<{ rows: { id: string }[]; cases: Case[] }>('engine/tests/language.json')

// Trees come from a file: the compiler knows nothing of them.
type Untyped = Record<string, (...parts: unknown[]) => never>
const functions = builder as unknown as Untyped

function field(path: string): never {
  const names = path.split('.').map((name) => name.replaceAll('`', ''))
  return names.reduce<object>((inner, name) => (inner as Record<string, object>)[name]!, builder.fields<object>()) as never
}

function part(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
  const [[name, inner]] = Object.entries(value) as [[string, unknown]]
  if (name === 'field') return field(inner as string)
  if (name === 'now') return builder.now
  if (name === 'date') return new Date(inner as string)
  if (name === 'ago' || name === 'fromNow') return functions[name]!(inner)
  return functions[name]!(...(inner as unknown[]).map(part))
}

const asked = ({ filter, order }: Case) => ({
  from: 'orders',
  ...builder.where(part(filter) as builder.Filter),
  orderBy: builder.order(...order.map((key) => (typeof key === 'string' ? field(key) : builder.desc(field(key.desc))))),
})

test('the builder prints what the engine has read', () => {
  expect(cases.length).toBeGreaterThan(100)
  for (const each of cases) {
    const { edge, filter, params, orderBy } = wire(asked(each))
    expect({ edge, filter, params: params ?? {}, orderBy }).toEqual({
      edge: 'orders',
      filter: each.where,
      params: each.params,
      orderBy: each.orderBy,
    })
  }
})

test.skipIf(!program)('the client gets the rows that the engine has found', async () => {
  const server = new Server()
  await server.start(rows)
  const db = createClient({ url: server.url, token: 's3cret' })
  // What the server's clock decides has other rows today.
  const timeless = cases.filter(({ where }) => !/\bnow\b/.test(where))
  expect(timeless.length).toBeGreaterThan(80)
  for (const each of timeless) {
    const { data } = await db.query<{ id: string }>(asked(each))
    expect(data.map(({ id }) => id), each.where).toEqual(each.ids)
  }
  db.close()
  await server.end()
})

const etags = read<{ id: string; row: string; etag: string }[]>('core/tests/etags.json')

test('rows of one etag are the same rows', () => {
  let equal = 0
  for (const a of etags)
    for (const b of etags)
      if (a.etag === b.etag) {
        expect(same(JSON.parse(a.row), JSON.parse(b.row)), `${a.row} ${b.row}`).toBe(true)
        equal += a === b ? 0 : 1
      }
  expect(equal).toBeGreaterThan(0)
})

test('the client tells the etags of the rows that it has', async () => {
  // One row for each id, as a set has them.
  const held = etags.filter(({ id, row }, at) => {
    const first = etags.findIndex((other) => other.id === id)
    return first === at && String((JSON.parse(row) as { id?: unknown }).id) === id
  })
  expect(held.length).toBeGreaterThan(1)
  const sent: { type: string; have?: string[] }[] = []
  const sockets: FakeSocket[] = []
  class FakeSocket implements Socket {
    readonly listeners: Record<string, (event: { data?: unknown }) => void> = {}
    constructor() {
      sockets.push(this)
      queueMicrotask(() => {
        this.listeners['open']!({})
        this.say('{"type":"authenticated"}')
      })
    }
    addEventListener(type: string, listener: (event: { data?: unknown }) => void) {
      this.listeners[type] = listener
    }
    send(data: string) {
      sent.push(JSON.parse(data) as { type: string })
    }
    say(data: string) {
      this.listeners['message']!({ data })
    }
    close() {}
  }
  const db = createClient({ url: 'ws://fake', token: 't', WebSocket: FakeSocket, backoff: () => 0 })
  const q = db.live({ from: 'rows' })
  q.subscribe(() => {})
  await vi.waitFor(() => expect(sent.filter(({ type }) => type === 'createLiveQuery').length).toBe(1))
  const data = `[${held.map(({ row }) => row).join()}]`
  const tags = JSON.stringify(held.map(({ etag }) => etag))
  sockets[0]!.say(`{"type":"liveQueryCreated","id":"1","totalCount":${held.length},"capped":false,"key":"id"}`)
  sockets[0]!.say(`{"type":"liveQueryData","id":"1","data":${data},"etags":${tags},"hasMore":false}`)
  sockets[0]!.say('{"type":"commit"}')
  expect(q.current.data.length).toBe(held.length)
  sockets[0]!.listeners['close']!({})
  await vi.waitFor(() => expect(sent.filter(({ type }) => type === 'createLiveQuery').length).toBe(2))
  expect(sent.at(-1)!.have).toEqual(held.map(({ etag }) => etag))
  db.close()
})
