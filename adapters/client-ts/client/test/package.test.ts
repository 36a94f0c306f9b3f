/** The packages as they are published: how large, and whether every way to import them finds code and types. */
import { createPackageFromTarballData, checkPackage } from '@arethetypeswrong/core'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { rolldown } from 'rolldown'
import { expect, test } from 'vitest'

const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** Bytes of what a page loads for these imports, minified and gzipped. */
async function bytes(path: string, names: string, external: string[] = []): Promise<number> {
  const build = await rolldown({
    input: 'entry',
    external,
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === 'entry' ? id : null),
        load: (id) => (id === 'entry' ? `export { ${names} } from ${JSON.stringify(folder(path))}` : null),
      },
    ],
  })
  const { output } = await build.generate({ minify: true })
  return gzipSync(output[0].code, { level: 9 }).length
}

test('what a page loads', async () => {
  const client = await bytes('client/dist/index.js', 'createClient')
  const hooks = 'LivesetProvider, useLiveset, useLiveQuery, useLiveQuerySuspense, useEvents, useConnection'
  const react = await bytes('react/dist/index.js', hooks, ['react', '@liveset/client'])
  console.log(`bytes, minified and gzipped: createClient ${client}, hooks ${react}`)
  expect(client).toBeLessThanOrEqual(5_000)
  expect(react).toBeLessThanOrEqual(1_500)
})

test('what is not imported is not loaded', async () => {
  expect(await bytes('client/dist/index.js', 'LivesetError')).toBeLessThan(200)
})

test('the package can be required', () => {
  const require = createRequire(import.meta.url)
  expect(require(folder('client/dist/index.cjs'))).toMatchObject({ createClient: expect.any(Function) as unknown })
  expect(require(folder('client/dist/builder.cjs'))).toMatchObject({ where: expect.any(Function) as unknown })
})

test.for(['client', 'react'])('%s can be imported in every way', async (name) => {
  const pkgDir = folder(name)
  const { messages, pkg } = await publint({ pkgDir, strict: true })
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([])
  const packed = mkdtempSync(join(tmpdir(), 'liveset-'))
  const said = execFileSync('npm', ['pack', '--json', '--pack-destination', packed], { cwd: pkgDir, encoding: 'utf8' })
  const [file] = Object.values(JSON.parse(said) as Record<string, { filename: string }>)
  const tarball = readFileSync(join(packed, file!.filename))
  rmSync(packed, { recursive: true })
  const analysis = await checkPackage(createPackageFromTarballData(new Uint8Array(tarball)))
  expect(analysis.types && analysis.problems).toEqual([])
})
