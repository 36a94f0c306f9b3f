import { expect, test } from 'vitest'
import { flatten, indexOf, rowsOf, same, splice, type Rows } from '../src/rows.js'
import { Chance } from './fake.js'

const isSame = <T>(a: T[], b: T[]) => a.length === b.length && a.every((item, at) => item === b[at])

test('rows are what an array would be, and earlier rows stay as they were', () => {
  const chance = new Chance(3)
  for (const most of [0, 1, 2, 64, 65, 300]) {
    let array = Array.from({ length: most }, (_, n) => ({ n }))
    let rows: Rows<{ n: number }> = rowsOf(array)
    for (let n = 0; n < 2_000; n++) {
      const [oldRows, oldArray] = [rows, array.slice()]
      const index = chance.below(array.length + 1)
      const item = { n }
      // Short and long phases of growing and of shrinking, down to nothing.
      const isGrowing = array.length === 0 || (chance.below(400) + n) % 400 < 190
      if (index === array.length || (isGrowing && array.length < most * 2 + 2)) {
        rows = splice(rows, index, 0, item)
        array.splice(index, 0, item)
      } else if (chance.below(3)) {
        rows = splice(rows, index, 1)
        array.splice(index, 1)
      } else {
        rows = splice(rows, index, 1, item)
        array.splice(index, 1, item)
      }
      expect(isSame(flatten(rows), array) && isSame(flatten(oldRows), oldArray)).toBe(true)
      expect(rows.every((chunk) => chunk.length > 0 && chunk.length <= 64)).toBe(true)
      const some = array[chance.below(array.length)]
      if (some) expect(indexOf(rows, some)).toBe(array.indexOf(some))
    }
    expect(indexOf(rows, { n: 0 })).toBe(-1)
  }
})

test('a change of 1,000 rows copies about one chunk and the list of chunks', () => {
  let rows = rowsOf(Array.from({ length: 1_000 }, (_, n) => n))
  let copied = 0
  for (let n = 0; n < 10_000; n++) {
    const index = (n * 7919) % 1_000
    const next = splice(splice(rows, index, 1), (index * 31) % 999, 0, n)
    const old = new Set(rows)
    copied += next.length + next.filter((chunk) => !old.has(chunk)).reduce((sum, chunk) => sum + chunk.length, 0)
    rows = next
  }
  expect(copied / 10_000).toBeLessThan(200)
})

test('values are the same if their JSON means the same', () => {
  const values = [null, true, 0, 1, '', '1', [], {}, [1], [2], [1, 2], { a: 1 }, { a: 2 }, { b: 1 }, { a: 1, b: [{}] }]
  for (const [at, a] of values.entries())
    for (const [to, b] of values.entries()) expect(same(a, structuredClone(b)), `${at} ${to}`).toBe(at === to)
  expect(same({ a: 1, b: 2 }, { b: 2, a: 1 })).toBe(true)
})
