import type { Client, LivesetClient } from './client.js'
import type { WireQuery } from './messages.js'
import { flatten, rowsOf } from './rows.js'
import type { Sets } from './query.js'

/** The live queries of a client as JSON. It holds their rows: send it only to people who may see them. */
export interface Dehydrated {
  readonly at: number
  readonly queries: readonly {
    readonly query: WireQuery
    readonly key: string
    readonly rows: readonly (readonly [row: object, etag?: string])[]
    readonly totalCount: number
    readonly capped: boolean
    readonly version?: string | undefined
  }[]
}

/** What the live queries of a client show, for a page that goes on from there: `await db.live(query).ready()` first. */
export function dehydrate<S extends Sets>(db: LivesetClient<S>): Dehydrated {
  const lives = [...(db as unknown as Client).shared.values()].filter(({ hasRows }) => hasRows)
  return {
    at: Date.now(),
    queries: lives.map(({ query, key, shown: { rows, ...rest } }) => ({
      query,
      key,
      rows: flatten(rows).map(({ row, etag }) => (etag ? [row, etag] : [row])),
      ...rest,
    })),
  }
}

/** Shows what another client has shown, as `stale`. A query that somebody listens to asks only for what has changed. */
export function hydrate<S extends Sets>(db: LivesetClient<S>, { at, queries }: Dehydrated): void {
  for (const { query, key, rows, totalCount, capped, version } of queries) {
    const live = (db as unknown as Client).find(query)
    if (live.hasRows) continue
    const entries = rows.map(([row, etag]) => ({ id: String((row as Record<string, unknown>)[key]), row, etag }))
    live.restore({ rows: rowsOf(entries), totalCount, capped, version }, key, new Date(at))
  }
}
