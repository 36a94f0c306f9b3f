// Bytes of what a page loads, minified and gzipped: all functions of each package, and of the client `createClient` alone.
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'

const folder = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

async function bytes(path) {
  const build = await rolldown({ input: folder(path), external: ['react', '@liveset/client'] })
  const { output } = await build.generate({ minify: true })
  return gzipSync(output[0].code, { level: 9 }).length
}

console.log('| bundle | bytes |\n| --- | ---: |')
for (const [name, path] of [
  ['`@liveset/client`', 'client/dist/index.js'],
  ['`@liveset/react`', 'react/dist/index.js'],
])
  console.log(`| ${name} | ${await bytes(path)} |`)
