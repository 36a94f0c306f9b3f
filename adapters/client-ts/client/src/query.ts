import type { WireQuery } from './messages.js'

/** A value of a parameter. A `Date` is an instant; a duration has a unit, such as `{ duration: '7 days' }`. */
export type Param =
  | string
  | number
  | boolean
  | null
  | Date
  | { readonly instant: string }
  | { readonly duration: string }
  | readonly Param[]

/** Names of sets, and what their rows are. */
export type Sets = Record<string, object>

/** What `liveset types` has written of the server's sets: its file adds `schema`. */
export interface Register {}

/** The sets that the compiler knows: those that `liveset types` has written, or else any. */
export type Registered = Register extends { schema: infer S extends Sets } ? S : Sets

/** The path of a field, such as `customer.name`. The compiler checks its first name where it knows the fields of a row. */
export type FieldPath<Row extends object> = [Row] extends [never]
  ? never
  : [keyof Row] extends [never]
    ? string
    : (keyof Row & string) | `${keyof Row & string}.${string}` | `\`${string}`

/** Which rows of which set, in which order. */
export interface Query<From extends string = string, Row extends object = object> {
  /** The set. */
  readonly from: From
  /** A filter, such as `status == $s and createdAt > now - 7 days`. Values belong in `params`. */
  readonly where?: string | undefined
  /** Values for the names with `$` in `where`. They are never read as language. */
  readonly params?: Readonly<Record<string, Param>> | undefined
  /** Such as `createdAt desc, id`. Default: by id. */
  readonly orderBy?: string | undefined
  /** At most so many rows. Default: the server's cap, which is 1,000. `0` is a live count. */
  readonly limit?: number | undefined
  /** Only these fields, and the key. Default: all. */
  readonly fields?: readonly FieldPath<Row>[] | undefined
}

const param = (value: Param): unknown =>
  value instanceof Date ? { instant: value.toISOString() } : Array.isArray(value) ? value.map(param) : value

/** The query as the server reads it. Its JSON is the same for equal queries. */
export function wire({ from, where, params, orderBy, limit, fields }: Query): WireQuery {
  const names = Object.keys(params ?? {}).sort()
  return {
    edge: from,
    ...(where && { filter: where }),
    ...(names.length && { params: Object.fromEntries(names.map((name) => [name, param(params![name]!)])) }),
    ...(orderBy && { orderBy }),
    ...(limit != null && { limit }),
    ...(fields && { node: { fields } }),
  }
}
