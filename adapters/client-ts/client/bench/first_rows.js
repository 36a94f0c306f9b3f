// Time from `createClient` to the first rows, over loopback: a connection, a token, a query, and the rows.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createClient } from '@liveset/client'

const RUNS = 200
const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../../../target', import.meta.url))
const program = [process.env.LIVESET_BIN, `${target}/release/liveset`, `${target}/debug/liveset`].find(
  (path) => path && existsSync(path),
)

async function measure() {
  const folder = mkdtempSync(join(tmpdir(), 'liveset-'))
  const file = join(folder, 'orders.ndjson')
  const row = (_, n) => `${JSON.stringify({ id: `o${n}`, total: (n * 7919) % 10_007, text: 'x'.repeat(100) })}\n`
  writeFileSync(file, Array.from({ length: 10_000 }, row).join(''))
  const args = ['serve', '--listen', '127.0.0.1:0', '--token', 'bench=s3cret', '--set', `orders=${file}`]
  const server = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const address = await new Promise((resolve) => {
    let said = ''
    const hear = (data) => {
      said += data
      const [, found] = /(127\.0\.0\.1:[1-9]\d*)/.exec(said) ?? []
      if (found) resolve(found)
    }
    server.stdout.on('data', hear)
    server.stderr.on('data', hear)
  })
  while (!(await fetch(`http://${address}/readyz`)).ok) await new Promise((resolve) => setTimeout(resolve, 10))
  console.log(`\n| from createClient to first rows (${program.includes('release') ? 'release' : 'debug'}), ms | median | 95 % |`)
  console.log('| --- | ---: | ---: |')
  for (const limit of [50, 1_000]) {
    const times = []
    for (let run = 0; run < RUNS; run++) {
      const began = performance.now()
      const db = createClient({ url: `ws://${address}/ws`, token: 's3cret' })
      const { data } = await db.query({ from: 'orders', orderBy: 'total desc', limit })
      times.push(performance.now() - began)
      if (data.length !== limit) throw new Error(`${data.length} rows`)
      db.close()
    }
    times.sort((a, b) => a - b)
    const at = (part) => times[Math.floor(RUNS * part)].toFixed(1)
    console.log(`| ${limit} of 10,000 rows | ${at(0.5)} | ${at(0.95)} |`)
  }
  console.log('')
  server.kill()
  rmSync(folder, { recursive: true })
}

if (program) await measure()
else console.log('\nno server was built: how soon first rows are there is not measured\n')
