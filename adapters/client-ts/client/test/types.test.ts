/** What `liveset types` writes is what the compiler checks sets and fields by. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { program, Server } from './server.js'

const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const written = folder(`client/test/types.${process.pid}`)

beforeAll(() => void mkdirSync(written))
afterAll(() => rmSync(written, { recursive: true }))

const CONFIG = `
[[set]]
name = "orders"
fields = [
    { name = "total", type = "number", required = true },
    { name = "customer.name", type = "text", required = true },
    { name = "customer.since", type = "instant" },
    { name = "tags", type = "list" },
]
[[set]]
name = "odd-users"
key = "email"
strict = true
fields = [{ name = "admin", type = "bool" }]
[[set]]
name = "notes"
`

/** Each line behind a `@ts-expect-error` must be an error, and no other may be. */
const CODE = `
import { createClient } from '@liveset/client'
import { eq, fields, where } from '@liveset/client/builder'
import { useLiveQuery, useLiveQuerySuspense, useLiveset } from '@liveset/react'
import type { Schema } from './liveset.js'

export const db = createClient({ url: 'ws://127.0.0.1:8080/ws', token: 's3cret' })
const o = fields<Schema['orders']>()
const orders = db.live({ from: 'orders', ...where(eq(o.customer.name, 'x')), fields: ['total', 'customer.name'] })
for (const { id, total, customer } of orders.current.data) {
  const known: [string | number, number, string, string | null | undefined] = [id, total, customer.name, customer.since]
  console.log(known)
}
for (const user of (await db.query({ from: 'odd-users' })).data) console.log(user.email, user.admin === true)
for (const note of db.live({ from: 'notes', fields: ['anything'] }).current.data) console.log(note.id, note['anything'])
for (const row of db.live<{ own: string }>({ from: 'orders', fields: ['own'] }).current.data) console.log(row.own)

// @ts-expect-error no such set
db.live({ from: 'ordres' })
// @ts-expect-error no such set
db.live<{ own: string }>({ from: 'ordres' })
// @ts-expect-error no such set
void db.query({ from: 'users' })
// @ts-expect-error no such field
db.live({ from: 'orders', fields: ['totl'] })
// @ts-expect-error no such field
db.live<{ own: string }>({ from: 'orders', fields: ['total'] })
// @ts-expect-error no such field
console.log(orders.current.data[0]!.totl)
// @ts-expect-error it may be absent
console.log(orders.current.data[0]!.tags.length)
// @ts-expect-error no such field
eq(o.customer.nam, 'x')
// @ts-expect-error a number
eq(o.total, 'x')

export function Hooks() {
  const total: number = useLiveQuery({ from: 'orders', fields: ['total'] }).data[0]!.total
  const admin: boolean | null | undefined = useLiveQuerySuspense({ from: 'odd-users' }).data[0]!.admin
  const own: string = useLiveQuery<{ own: string }>(total ? { from: 'orders' } : null).data[0]!.own
  console.log(admin, own, useLiveset().live({ from: 'orders' }).current.data[0]!.total)
  // @ts-expect-error no such set
  useLiveQuery({ from: 'ordres' })
  // @ts-expect-error no such field
  useLiveQuery({ from: 'orders', fields: ['totl'] })
  // @ts-expect-error no such set
  useLiveset().live({ from: 'ordres' })
  return null
}
`

test.skipIf(!program)('names of sets and fields are checked by the compiler', async () => {
  const server = new Server(CONFIG)
  await server.start()
  const args = ['types', '--url', `http://${server.address}`, '--token', 's3cret']
  writeFileSync(`${written}/liveset.d.ts`, execFileSync(program!, args))
  await server.end()
  writeFileSync(`${written}/code.ts`, CODE)
  const { config } = ts.readConfigFile(folder('tsconfig.json'), ts.sys.readFile) as { config: object }
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder('.'))
  const own = { noUnusedLocals: false, isolatedDeclarations: false, declaration: false }
  const files = ['code.ts', 'liveset.d.ts'].map((name) => `${written}/${name}`)
  const complaints = (options: ts.CompilerOptions) =>
    ts
      .getPreEmitDiagnostics(ts.createProgram(files, options))
      .map(({ file, start, messageText }) => [file && file.text.slice(0, start).split('\n').length, messageText])
  expect(complaints({ ...options, ...own })).toEqual([])
  // The same with the packages as they are published.
  const { paths: _, ...published } = { ...options, ...own }
  expect(complaints(published)).toEqual([])
})
