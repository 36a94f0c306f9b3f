// 10,000 commits, each of which moves one row of a sorted window of 1,000: `npm run bench`. All contestants read the same
// messages and show the whole window, sorted, after each commit, or after every 16th as a page does that draws.
import { createClient } from '@liveset/client'
import { BasicIndex, createCollection, createLiveQueryCollection } from '@tanstack/db'

const ROWS = 1_000
const COMMITS = 10_000

let seed = 1
const below = (n) => (seed = (seed * 48271) % 2147483647) % n
const first = Array.from({ length: ROWS }, (_, n) => ({ id: `o${n}`, total: below(1e6), text: 'x'.repeat(100) }))
const order = (a, b) => a.total - b.total || (a.id < b.id ? -1 : 1)

// What a server sends, made before anything is measured.
const window = first.toSorted(order)
const sorted = window.slice()
const messages = Array.from({ length: COMMITS }, (_, n) => {
  const [old] = window.splice(below(ROWS), 1)
  const data = { ...old, total: below(1e6) }
  const index = window.findIndex((row) => order(data, row) < 0)
  window.splice(index < 0 ? window.length : index, 0, data)
  const at = index < 0 ? window.length - 1 : index
  return JSON.stringify({ type: 'liveQueryUpdatedNode', id: '1', nodeId: data.id, data, index: at, version: `${n + 1}` })
})
const expected = JSON.stringify(window)

function liveset() {
  let emit
  class WebSocket {
    listeners = {}
    constructor() {
      emit = (message) => this.listeners.message({ data: message })
      queueMicrotask(() => {
        this.listeners.open({})
        emit('{"type":"authenticated"}')
        emit('{"type":"liveQueryCreated","id":"1","totalCount":1000,"capped":false,"key":"id","version":"0"}')
        emit(JSON.stringify({ type: 'liveQueryData', id: '1', data: sorted, hasMore: false }))
        emit('{"type":"commit"}')
      })
    }
    addEventListener(type, listener) {
      this.listeners[type] = listener
    }
    send() {}
    close() {}
  }
  const db = createClient({ url: 'ws://bench', token: 't', WebSocket, linger: 0 })
  const q = db.live({ from: 'orders', orderBy: 'total', limit: ROWS })
  q.subscribe(() => {})
  return {
    name: '@liveset/client',
    start: () => q.ready(),
    take(message) {
      emit(message)
      emit('{"type":"commit"}')
    },
    read: () => q.current.data,
    end: () => db.close(),
  }
}

function sortAgain() {
  const rows = new Map(first.map((row) => [row.id, row]))
  return {
    name: 'a map, sorted again when it is read',
    start() {},
    take(message) {
      const { nodeId, data } = JSON.parse(message)
      rows.set(nodeId, data)
    },
    read: () => [...rows.values()].sort(order),
    end() {},
  }
}

function tanstack() {
  let source
  const orders = createCollection({
    id: 'orders',
    getKey: ({ id }) => id,
    autoIndex: 'eager',
    defaultIndexType: BasicIndex,
    sync: {
      sync(given) {
        source = given
        source.begin()
        for (const value of first) source.write({ type: 'insert', value })
        source.commit()
        source.markReady()
      },
    },
  })
  const top = createLiveQueryCollection((q) =>
    q
      .from({ orders })
      .orderBy(({ orders }) => orders.total)
      .orderBy(({ orders }) => orders.id)
      .limit(ROWS),
  )
  return {
    name: '@tanstack/db',
    start: () => top.preload(),
    take(message) {
      const { data } = JSON.parse(message)
      source.begin()
      source.write({ type: 'update', value: data })
      source.commit()
    },
    read: () => top.toArray,
    end() {},
  }
}

console.log(`| ${COMMITS} commits, window of ${ROWS} | CPU µs a commit, read each time | read every 16th |`)
console.log('| --- | ---: | ---: |')
for (const contestant of [liveset, sortAgain, tanstack]) {
  const times = []
  let name
  for (const every of [1, 16]) {
    const it = contestant()
    name = it.name
    await it.start()
    let shown
    const began = process.cpuUsage()
    messages.forEach((message, n) => {
      it.take(message)
      if ((n + 1) % every === 0) shown = it.read()
    })
    const { user, system } = process.cpuUsage(began)
    times.push(((user + system) / COMMITS).toFixed(1))
    const plain = shown.map(({ id, total, text }) => ({ id, total, text }))
    if (JSON.stringify(plain) !== expected) throw new Error(`${name} shows something else`)
    it.end()
  }
  console.log(`| ${name} | ${times.join(' | ')} |`)
}
