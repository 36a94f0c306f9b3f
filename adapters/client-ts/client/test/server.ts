import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = (path: string) => fileURLToPath(new URL(`../../../../${path}`, import.meta.url))

/** What cargo has built last under this name, if anything. */
export const built = (name: string): string | undefined =>
  [`${process.env['CARGO_TARGET_DIR'] ?? root('target')}/debug/${name}`].find((path) => existsSync(path))

/** The program `liveset`: the one that `LIVESET_BIN` names, or the one that cargo has built last. */
export const program: string | undefined = [process.env['LIVESET_BIN']].find((path) => path && existsSync(path)) ?? built('liveset')

/**
 * A real server with the token `s3cret`, and with the set `orders`; or with those that a configuration has, which may load
 * files that are given to `start`.
 */
export class Server {
  #child: ChildProcess | undefined
  readonly #folder = mkdtempSync(join(tmpdir(), 'liveset-'))
  address = '127.0.0.1:0'

  constructor(readonly config?: string) {}

  get url(): string {
    return `ws://${this.address}/ws`
  }

  /** Starts it where it was before, with these rows of `orders`, or these files, and waits until it is ready. */
  async start(rows: object[] | Record<string, string[]> = []): Promise<void> {
    const files = Array.isArray(rows) ? { 'orders.ndjson': rows.map((row) => JSON.stringify(row)) } : rows
    for (const [name, lines] of Object.entries(files))
      writeFileSync(join(this.#folder, name), lines.map((line) => `${line}\n`).join(''))
    const file = join(this.#folder, 'liveset.toml')
    if (this.config) writeFileSync(file, this.config)
    const sets = this.config ? ['--config', file] : ['--set', `orders=${join(this.#folder, 'orders.ndjson')}`]
    const tokens = this.config?.includes('[auth]') ? [] : ['--token', 'shop=s3cret']
    const options = ['--listen', this.address, ...tokens, ...sets]
    const child = spawn(program!, ['serve', ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    this.address = await new Promise<string>((resolve, reject) => {
      let said = ''
      const hear = (data: Buffer) => {
        said += data.toString()
        const [, address] = /(127\.0\.0\.1:[1-9]\d*)/.exec(said) ?? []
        if (address) resolve(address)
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.on('exit', () => reject(new Error(`the server ended: ${said}`)))
    })
    // It listens before its rows are there.
    while (!(await fetch(`http://${this.address}/readyz`)).ok) await new Promise((resolve) => setTimeout(resolve, 5))
  }

  /** Kills it: nothing is said goodbye to. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  async end(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true })
  }

  async commit(...ops: object[]): Promise<{ position?: string }> {
    const answer = await this.post('/batch', JSON.stringify(ops))
    if (!answer.ok) throw new Error(await answer.text())
    return (await answer.json()) as { position?: string }
  }

  post(path: string, body: string, token = 's3cret'): Promise<Response> {
    return fetch(`http://${this.address}${path}`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body })
  }
}
