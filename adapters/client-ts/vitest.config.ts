import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  // The packages from their source; `package.test.ts` looks at what is built.
  resolve: {
    alias: [
      { find: /^@liveset\/(client|react)$/, replacement: source('$1/src/index.ts') },
      { find: /^@liveset\/client\/(.*)$/, replacement: source('client/src/$1.ts') },
      // Node finds the build for servers, in which nothing is reactive.
      { find: /^solid-js$/, replacement: source('node_modules/solid-js/dist/solid.js') },
    ],
  },
  test: { include: ['*/test/**/*.test.{ts,tsx}'], testTimeout: 30_000 },
})
