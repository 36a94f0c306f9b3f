/** React in a real Chromium, while the server is killed and comes back: no flash, and nobody waits for ever. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { rolldown } from 'rolldown'
import { expect, test, vi } from 'vitest'
import { program, Server } from '../../client/test/server.js'

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
if (!existsSync(executablePath) && process.env['CI']) throw new Error('Chromium is missing')

const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const launch = () =>
  chromium.launch({ executablePath, args: [...args, '--disable-component-update', '--disable-sync'] })

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

async function script(): Promise<string> {
  const build = await rolldown({
    input: file('react/test/page.tsx'),
    platform: 'browser',
    resolve: { alias: { '@liveset/client': file('client/dist/index.js'), '@liveset/react': file('react/dist/index.js') } },
    transform: { define: { 'process.env.NODE_ENV': '"development"' } },
  })
  const { output } = await build.generate({ format: 'iife' })
  return output[0].code
}

test.skipIf(!program || !existsSync(executablePath))('a list outlives its server', async () => {
  const code = await script()
  const pages = createServer((request, response) => {
    const isScript = request.url === '/page.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? code : '<!doctype html><div id="root"></div><script src="/page.js"></script>')
  })
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
  const server = new Server()
  await server.start([{ id: 'a', total: 1 }, { id: 'b', total: 2 }])
  const browser = await launch()
  try {
    const page = await browser.newPage()
    const errors: string[] = []
    page.on('pageerror', (error) => errors.push(String(error)))
    const { port } = pages.address() as AddressInfo
    await page.goto(`http://127.0.0.1:${port}/?server=${encodeURIComponent(server.url)}`)
    const shows = (id: string, text: string) => page.locator(`#${id}`, { hasText: text }).waitFor({ timeout: 20_000 })
    await shows('suspense', 'live: b=2 a=1')
    await shows('count', 'live 2')
    await server.commit({ op: 'upsert', set: 'orders', node: { id: 'c', total: 3 } })
    await shows('suspense', 'live: c=3 b=2 a=1')
    await server.kill()
    await shows('suspense', 'stale: c=3 b=2 a=1')
    await shows('connection', 'reconnecting')
    // Who comes while nobody is there waits, but not for ever.
    const late = await browser.newPage()
    await late.goto(page.url())
    await late.locator('#waiting').waitFor()
    await late.locator('#connection', { hasText: 'reconnecting' }).waitFor()
    await server.start([{ id: 'c', total: 3 }, { id: 'b', total: 5 }])
    await shows('suspense', 'live: b=5 c=3')
    await shows('count', 'live 2')
    await late.locator('#suspense', { hasText: 'live: b=5 c=3' }).waitFor({ timeout: 20_000 })
    expect(await late.evaluate('shown')).toEqual(['waiting', 'live: b=5 c=3'])
    const shown = await page.evaluate('shown')
    expect(shown).toEqual([
      'waiting',
      'live: b=2 a=1',
      'live: c=3 b=2 a=1',
      'stale: c=3 b=2 a=1',
      'live: b=5 c=3',
    ])
    expect(errors).toEqual([])
  } finally {
    await browser.close()
    pages.close()
    await server.end()
  }
})

/** Starts a program, and waits until it says where it is. */
async function serve(command: string, args: string[]): Promise<{ address: string; end: () => void }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const address = await new Promise<string>((resolve, reject) => {
    let said = ''
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString().replaceAll(/\x1b\[\d*m/g, '')
      const [, address] = /http:\/\/(127\.0\.0\.1:\d+)/.exec(said) ?? []
      if (address) resolve(address)
    })
    child.on('exit', () => reject(new Error(`${command} ended: ${said}`)))
  })
  return { address, end: () => void child.kill('SIGKILL') }
}

test.skipIf(!program || !existsSync(executablePath))('the example shows the list of the demo', async () => {
  const demo = await serve(program!, ['demo', '--listen', '127.0.0.1:0', '--rate', '5'])
  const vite = await serve(file('node_modules/.bin/vite'), [file('example'), '--host', '127.0.0.1', '--port', '0'])
  const browser = await launch()
  try {
    const page = await browser.newPage()
    // The demo is elsewhere than the example says.
    const code = readFileSync(file('example/main.tsx'), 'utf8')
    expect(code).toContain('127.0.0.1:8080')
    await page.addInitScript(`
      const Native = WebSocket
      window.WebSocket = function (url, ...more) {
        return new Native(String(url).replace('127.0.0.1:8080', '${demo.address}'), ...more)
      }`)
    await page.goto(`http://${vite.address}/`)
    await page.getByRole('heading', { name: /^\d+ open orders: live$/ }).waitFor({ timeout: 20_000 })
    const query = { edge: 'orders', filter: "status in ['pending', 'processing']", orderBy: 'createdAt desc', limit: 50 }
    const isSame = async () => {
      const answer = await fetch(`http://${demo.address}/query`, {
        method: 'POST',
        headers: { authorization: 'Bearer any' },
        body: JSON.stringify(query),
      })
      const { nodes } = (await answer.json()) as { nodes: { id: string; customer: { name: string }; total: number }[] }
      const shown = await page.getByRole('listitem').allTextContents()
      expect(shown).toEqual(nodes.map(({ id, customer, total }) => `${id} ${customer.name} ${total}`))
      expect(shown.length).toBeGreaterThan(10)
      return shown[0]
    }
    const first = await vi.waitFor(isSame, { timeout: 10_000, interval: 50 })
    // A while later there are newer ones.
    await vi.waitFor(async () => expect(await isSame()).not.toBe(first), { timeout: 10_000, interval: 50 })
  } finally {
    await browser.close()
    vite.end()
    demo.end()
  }
})
