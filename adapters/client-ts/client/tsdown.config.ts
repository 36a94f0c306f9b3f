import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: ['src/index.ts', 'src/builder.ts', 'src/optimistic.ts', 'src/hydration.ts'],
  format: ['esm', 'cjs'],
  platform: 'neutral',
  target: 'es2022',
  dts: true,
  fixedExtension: false,
})
