/** The built client where there is no page: in a worker of a real Chromium, and with no more globals than React Native has. */
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import { chromium } from 'playwright-core'
import { rolldown } from 'rolldown'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { program, Server } from './server.js'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']

/** A program that shows a list by `show`, as plain script. */
async function script(url: string): Promise<string> {
  const source = `
    import { createClient } from ${JSON.stringify(fileURLToPath(new URL('../dist/index.js', import.meta.url)))}
    const db = createClient({ url: ${JSON.stringify(url)}, token: 's3cret', backoff: () => 50 })
    const q = db.live({ from: 'orders', orderBy: 'total desc' })
    q.subscribe(() => show(q.current.status + ': ' + q.current.data.map(({ id, total }) => id + '=' + total).join(' ')))
    globalThis.end = () => db.close()
  `
  const entry = 'entry.js'
  const build = await rolldown({
    input: entry,
    platform: 'neutral',
    plugins: [{ name: 'entry', resolveId: (id) => (id === entry ? id : null), load: (id) => (id === entry ? source : null) }],
  })
  const { output } = await build.generate({ format: 'iife' })
  return output[0].code
}

describe.skipIf(!program)('without a page', () => {
  let server: Server
  beforeEach(async () => {
    server = new Server()
    await server.start([{ id: 'a', total: 1 }, { id: 'b', total: 2 }])
  })
  afterEach(() => server.end())

  /** The list follows a commit, and a server that is killed and comes back. */
  async function follows(shown: () => Promise<string[]> | string[]): Promise<void> {
    const last = async (text: string) => vi.waitFor(async () => expect((await shown()).at(-1)).toBe(text), { timeout: 20_000 })
    await last('live: b=2 a=1')
    await server.commit({ op: 'upsert', set: 'orders', node: { id: 'c', total: 3 } })
    await last('live: c=3 b=2 a=1')
    await server.kill()
    await last('stale: c=3 b=2 a=1')
    await server.start([{ id: 'c', total: 3 }, { id: 'b', total: 5 }])
    await last('live: b=5 c=3')
    expect((await shown()).filter((text) => text === 'live: ')).toEqual([])
  }

  test.skipIf(!existsSync(executablePath))('a worker follows', async () => {
    const code = `const show = (text) => postMessage(text);\n${await script(server.url)}`
    const pages = createServer((request, response) => {
      const isScript = request.url === '/worker.js'
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
      response.end(isScript ? code : '<!doctype html><title>a worker</title>')
    })
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
    const browser = await chromium.launch({ executablePath, args })
    try {
      const page = await browser.newPage()
      await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`)
      await page.evaluate(
        "globalThis.shown = []; new Worker('/worker.js').onmessage = ({ data }) => { shown.push(data) }",
      )
      await follows(() => page.evaluate('shown'))
    } finally {
      await browser.close()
      pages.close()
    }
  })

  test('React Native has all that it needs', async () => {
    const shown: string[] = []
    const globals = { WebSocket, setTimeout, clearTimeout, setInterval, clearInterval, performance, console }
    const native = createContext({ ...globals, show: (text: string) => shown.push(text) })
    runInContext(await script(server.url), native)
    try {
      await follows(() => shown)
    } finally {
      runInContext('end()', native)
    }
  })
})
