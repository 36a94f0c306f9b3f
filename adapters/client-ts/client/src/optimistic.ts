import type { Client } from './client.js'
import { LivesetError } from './error.js'
import type { Live, LiveQuery } from './live.js'

interface Patch {
  readonly id: string
  readonly patch: object | null
}

const patches = new WeakMap<Live, Set<Patch>>()

/**
 * Shows a change of a row before the server has it: the patch is laid over the row, or with `null` the row is hidden. It
 * goes when the live query shows the commit of `position`, which the answer to the write brings. Resolves then; rejects,
 * and takes the change back, if the write fails or is not seen within 30 s of it.
 *
 * Rows that are not in the list are not added, and a row does not move: where it belongs only the server knows.
 */
export async function optimistic<T extends object>(
  query: LiveQuery<T>,
  id: string | number,
  patch: Partial<T> | null,
  position: Promise<string>,
): Promise<void> {
  const live = query as unknown as Live
  const all = patches.get(live) ?? new Set()
  patches.set(live, all)
  const mine: Patch = { id: String(id), patch }
  const change = () => {
    live.overlay = all.size ? overlay(live, [...all]) : undefined
    live.touch()
  }
  const off = live.subscribe(() => {})
  all.add(mine)
  change()
  try {
    await shown(live.client, await position)
  } finally {
    all.delete(mine)
    change()
    off()
  }
}

/** The client has shown a position; rejects after 30 s. */
async function shown(client: Client, position: string): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new LivesetError('TIMEOUT', 'The write was not seen within 30 s. It may have been made: look again.')
    timer = setTimeout(() => reject(error), 30_000)
  })
  await Promise.race([client.awaitPosition(position), late]).finally(() => clearTimeout(timer))
}

/** Lays patches over rows. The same rows give the same array. */
function overlay(live: Live, all: Patch[]): (rows: readonly object[]) => readonly object[] {
  const made = new WeakMap<readonly object[], readonly object[]>()
  return (rows) => {
    let patched = made.get(rows)
    if (!patched) {
      patched = rows.flatMap((row) => {
        const id = String((row as Record<string, unknown>)[live.key])
        const own = all.filter((patch) => patch.id === id)
        if (own.some(({ patch }) => !patch)) return []
        return own.length ? Object.assign({}, row, ...own.map(({ patch }) => patch)) : row
      })
      made.set(rows, patched)
    }
    return patched
  }
}
