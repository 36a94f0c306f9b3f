/** What goes over the wire. The server's guide describes every message. */

export type ServerMessage =
  | { type: 'authenticated' | 'ping' | 'pong' | 'commit' | 'liveQueryDestroyed' | 'subscribedEvents' }
  | LiveMessage
  | { type: 'event'; subscriptionIds: string[]; eventType: string; path: string; data: unknown; timestamp: string }
  | { type: 'warning'; code: string; message: string; subscriptionId: string }
  | { type: 'positionReached'; requestId: string }
  | { type: 'error'; code: string; message: string; requestId?: string; id?: string }

/** Messages about one live query. */
export type LiveMessage =
  | { type: 'liveQueryCreated'; id: string; totalCount: number; capped: boolean; key?: string; version?: string }
  | { type: 'liveQueryData'; id: string; data: object[]; etags?: string[]; hasMore: boolean }
  | {
      type: 'liveQueryResumed'
      id: string
      totalCount: number
      capped: boolean
      key?: string
      version?: string
      drop?: number[]
    }
  | Diff
  | { type: 'liveQueryCount'; id: string; totalCount: number; capped: boolean }
  | { type: 'liveQueryStatus'; id: string; status: 'loading' | 'live' | 'stale'; since?: string }

/** What happened to one row. */
export type Diff =
  | {
      type: 'liveQueryAddedNode' | 'liveQueryUpdatedNode'
      id: string
      nodeId: string
      data: object
      etag?: string
      index?: number
      reason?: string
      version?: string
    }
  | { type: 'liveQueryRemovedNode'; id: string; nodeId: string; reason?: string; version?: string }

/** A query as the server reads it. */
export interface WireQuery {
  edge: string
  filter?: string
  params?: Record<string, unknown>
  orderBy?: string
  limit?: number
  node?: { fields: readonly string[] }
}

export type ClientMessage =
  | { type: 'auth'; token: string; requestId: string; options?: { commits: true } }
  | { type: 'ping' | 'pong' }
  | {
      type: 'createLiveQuery'
      id: string
      query: WireQuery
      options: Record<string, boolean>
      since?: string
      have?: string[]
    }
  | { type: 'destroyLiveQuery'; id: string }
  | { type: 'subscribeEvents'; subscriptions: { id: string; path: string; events: readonly string[] }[] }
  | { type: 'unsubscribeEvents'; ids: string[] }
  | { type: 'awaitPosition'; requestId: string; position: string }
