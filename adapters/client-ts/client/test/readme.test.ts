/** The code in both READMEs is correct, and the first of each page does what it says. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

test.for(['client', 'react'])('the code in the README of %s fits the types', (name) => {
  const page = readFileSync(folder(`${name}/README.md`), 'utf8')
  const blocks = [...page.matchAll(/^```tsx?\n(.*?)^```$/gms)].map(([, code]) => code!)
  expect(blocks.length).toBeGreaterThan(0)
  const file = folder(`${name}/test/readme.${process.pid}.tsx`)
  writeFileSync(file, `${blocks.join('\n')}\nexport {}\n`)
  try {
    const { config } = ts.readConfigFile(folder('tsconfig.json'), ts.sys.readFile) as { config: object }
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder('.'))
    const unused = { noUnusedLocals: false, isolatedDeclarations: false, declaration: false }
    const program = ts.createProgram([file], { ...options, ...unused })
    const found = ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
    expect(found).toEqual([])
  } finally {
    rmSync(file)
  }
})
