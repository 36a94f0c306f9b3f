/** The code in the READMEs fits the types, and does what it says. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createRoot, createSignal } from 'solid-js'
import type { Readable } from 'svelte/store'
import ts from 'typescript'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { effectScope, nextTick, ref, type ShallowRef } from 'vue'
import { createClient, type LiveQuery, type LivesetClient, type Snapshot } from '../src/index.js'
import { FakeServer, type Row } from './fake.js'
import { program, Server } from './server.js'

const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const written = folder(`client/test/readme.${process.pid}`)

const blocks = (name: string) =>
  [...readFileSync(folder(`${name}/README.md`), 'utf8').matchAll(/^```tsx?\n(.*?)^```$/gms)].map(([, code]) => code!)

/** Blocks whose first line has a name are files of their own; all else of a page is one. */
const files = new Map<string, string>()
for (const name of ['client', 'react']) {
  const rest = blocks(name).filter((code) => {
    const [, file] = /^\/\/ (\w+\.ts):/.exec(code) ?? []
    if (file) files.set(file, code)
    return !file
  })
  files.set(`${name}.tsx`, `${rest.join('\n')}\nexport {}\n`)
}
// The project's own.
const [root] = blocks('../..')
files.set('root.tsx', root!)
files.set('first.ts', `${blocks('client')[0]!}\nexport { db }\n`)

beforeAll(() => {
  mkdirSync(written)
  for (const [name, code] of files) writeFileSync(`${written}/${name}`, code)
})
afterAll(() => rmSync(written, { recursive: true }))

test('it fits the types', () => {
  expect([...files.keys()].sort()).toEqual(['client.tsx', 'first.ts', 'react.tsx', 'root.tsx', 'solid.ts', 'svelte.ts', 'vue.ts'])
  const { config } = ts.readConfigFile(folder('tsconfig.json'), ts.sys.readFile) as { config: object }
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder('.'))
  const own = { noUnusedLocals: false, isolatedDeclarations: false, declaration: false }
  const names = [...files.keys()].map((name) => `${written}/${name}`)
  const found = ts.getPreEmitDiagnostics(ts.createProgram(names, { ...options, ...own }))
  expect(found.map(({ file, messageText }) => [file?.fileName, messageText])).toEqual([])
})

test('the first screen of the project is its example', () => {
  expect(root).toBe(readFileSync(folder('example/main.tsx'), 'utf8'))
})

test.skipIf(!program)('the first example prints a list that follows', async () => {
  const server = new Server()
  await server.start([{ id: 'o1', status: 'new', total: 20 }])
  const code = files.get('first.ts')!
  expect(code).toContain('127.0.0.1:8080')
  writeFileSync(`${written}/first.ts`, code.replace('127.0.0.1:8080', server.address))
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  const { db } = (await import(`${written}/first.ts`)) as { db: LivesetClient }
  const said = (...line: unknown[]) => vi.waitFor(() => expect(log).toHaveBeenLastCalledWith(...line))
  await said('live', 1, [{ id: 'o1', status: 'new', total: 20 }])
  await server.commit({ op: 'upsert', set: 'orders', node: { id: 'o2', status: 'new', total: 30 } })
  await said('live', 2, [
    { id: 'o2', status: 'new', total: 30 },
    { id: 'o1', status: 'new', total: 20 },
  ])
  db.close()
  log.mockRestore()
  await server.end()
})

let server: FakeServer
let db: LivesetClient<{ rows: Row }>

beforeEach(() => {
  server = new FakeServer()
  server.commit({ id: 'a', g: 1, n: 1 }, { id: 'b', g: 2, n: 2 })
  db = createClient({ url: 'ws://fake/ws', token: 't', WebSocket: server.WebSocket, linger: 0 })
  return () => db.close()
})

const group = (g: number): LiveQuery<Row> => db.live({ from: 'rows', where: 'g == $g', params: { g } })
const text = ({ status, data }: Snapshot<Row>) => `${status}: ${data.map(({ id, n }) => `${id}${n}`).join(' ')}`
const ended = () => server.received.filter(({ type }) => type === 'destroyLiveQuery').length

test('Vue', async () => {
  const { useLive } = (await import(`${written}/vue.ts`)) as {
    useLive: (query: () => LiveQuery<Row>) => ShallowRef<Snapshot<Row>>
  }
  const g = ref(1)
  const scope = effectScope()
  const rows = scope.run(() => useLive(() => group(g.value)))!
  expect(text(rows.value)).toBe('loading: ')
  await vi.waitFor(() => expect(text(rows.value)).toBe('live: a1'))
  server.commit({ id: 'a', g: 1, n: 9 })
  await vi.waitFor(() => expect(text(rows.value)).toBe('live: a9'))
  g.value = 2
  await nextTick()
  expect(text(rows.value)).toBe('loading: ')
  await vi.waitFor(() => expect(text(rows.value)).toBe('live: b2'))
  scope.stop()
  await vi.waitFor(() => expect(ended()).toBe(2))
})

test('Svelte', async () => {
  const { liveStore } = (await import(`${written}/svelte.ts`)) as {
    liveStore: (query: LiveQuery<Row>) => Readable<Snapshot<Row>>
  }
  let shown = ''
  const show = (snapshot: Snapshot<Row>) => void (shown = text(snapshot))
  const stop = liveStore(group(1)).subscribe(show)
  expect(shown).toBe('loading: ')
  await vi.waitFor(() => expect(shown).toBe('live: a1'))
  server.commit({ id: 'a', g: 1, n: 9 })
  await vi.waitFor(() => expect(shown).toBe('live: a9'))
  stop()
  await vi.waitFor(() => expect(ended()).toBe(1))
})

test('Solid', async () => {
  const { createLive } = (await import(`${written}/solid.ts`)) as {
    createLive: (query: () => LiveQuery<Row>) => () => Snapshot<Row>
  }
  const [g, change] = createSignal(1)
  const [rows, dispose] = createRoot((dispose) => [createLive(() => group(g())), dispose] as const)
  expect(text(rows())).toBe('loading: ')
  await vi.waitFor(() => expect(text(rows())).toBe('live: a1'))
  server.commit({ id: 'a', g: 1, n: 9 })
  await vi.waitFor(() => expect(text(rows())).toBe('live: a9'))
  change(2)
  expect(text(rows())).toBe('loading: ')
  await vi.waitFor(() => expect(text(rows())).toBe('live: b2'))
  dispose()
  await vi.waitFor(() => expect(ended()).toBe(2))
})
