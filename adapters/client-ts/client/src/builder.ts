/** Filters and orders that the compiler checks. They print the server's language, with all values as parameters. */
import type { Param } from './query.js'

declare const VALUE: unique symbol
const PATH: unique symbol = Symbol('path')

/** A field of a row, whose fields are its properties. */
export type Field<V> = { readonly [VALUE]?: V; readonly [PATH]: string } & (NonNullable<V> extends readonly unknown[]
  ? unknown
  : NonNullable<V> extends object
    ? { readonly [K in keyof NonNullable<V>]-?: Field<NonNullable<V>[K]> }
    : unknown)

/** What can be computed from a row: a field, `now`, an instant. */
export interface Term<V> {
  readonly [VALUE]?: V
  readonly print: (bind: Bind) => string
}

/** What a row is compared with. */
export type Operand<V> = Field<V> | Term<V> | (V extends Param ? V : never) | (V extends string ? Date : never) | null

/** A condition that a row fulfils or not. */
export interface Filter {
  readonly print: (bind: Bind) => string
  /** Binds as `or`, as `and`, or more tightly. */
  readonly level: 0 | 1 | 2
}

type Bind = (value: Param) => string
type Item<V> = NonNullable<V> extends readonly (infer I)[] ? I : never

/** The fields of a set's rows: `const order = fields<Order>()`, then `order.customer.name`. */
export function fields<T extends object>(): Field<T> {
  return field('') as unknown as Field<T>
}

/** `where` and `params` of a query: `db.live({ from: 'orders', ...where(eq(order.status, 'new')) })`. */
export function where(filter: Filter): { where: string; params: Record<string, Param> } {
  const params: Record<string, Param> = {}
  const bind = (value: Param) => {
    const name = `p${Object.keys(params).length + 1}`
    params[name] = value
    return `$${name}`
  }
  return { where: filter.print(bind), params }
}

/** `orderBy` of a query: `order(desc(o.createdAt), o.id)`. */
export const order = (...keys: (Field<unknown> | { readonly desc: string })[]): string =>
  keys.map((key) => ('desc' in key && typeof key.desc === 'string' ? key.desc : (key as Field<unknown>)[PATH])).join(', ')

/** The largest first. */
export const desc = (field: Field<unknown>): { readonly desc: string } => ({ desc: `${field[PATH]} desc` })

const compare =
  (operator: string) =>
  <V>(left: Field<V> | Term<V>, right: NoInfer<Operand<V>>): Filter =>
    test((bind) => `${operand(left, bind)} ${operator} ${operand(right, bind)}`)

type Comparison = <V>(left: Field<V> | Term<V>, right: NoInfer<Operand<V>>) => Filter
export const eq: Comparison = compare('==')
/** Also true where the field is absent. */
export const ne: Comparison = compare('!=')
export const lt: Comparison = compare('<')
export const le: Comparison = compare('<=')
export const gt: Comparison = compare('>')
export const ge: Comparison = compare('>=')

/** The field is one of these. */
export const oneOf = <V extends Param>(field: Field<V>, values: readonly NoInfer<V>[]): Filter => member(field, 'in', values)
/** The list has one of these at least. */
export const anyOf = <V>(field: Field<V>, values: readonly (Item<V> & Param)[]): Filter => member(field, 'anyof', values)
/** The list has all of these. */
export const allOf = <V>(field: Field<V>, values: readonly (Item<V> & Param)[]): Filter => member(field, 'allof', values)

type TextTest = (field: Field<string> | Field<string | undefined> | Field<string | null>, text: string) => Filter
export const startsWith: TextTest = (field, text) => member(field, 'startswith', text)
export const endsWith: TextTest = (field, text) => member(field, 'endswith', text)
export const contains: TextTest = (field, text) => member(field, 'contains', text)

/** The field is `true`. */
export const is = (field: Field<boolean> | Field<boolean | undefined>): Filter => test(() => field[PATH])

export const and = (...filters: Filter[]): Filter => join(filters, 'and', 1, 'true')
export const or = (...filters: Filter[]): Filter => join(filters, 'or', 0, 'false')
export const not = ({ print }: Filter): Filter => test((bind) => `not (${print(bind)})`)

/** The server's clock. Rows come and go as time passes. */
export const now: Term<string> = { print: () => 'now' }

/** A moment before or after now, such as `ago('7 days')`: years, months, weeks, days, hours, minutes, seconds. */
export const ago = (duration: string): Term<string> => ({ print: (bind) => `now - ${bind({ duration })}` })
export const fromNow = (duration: string): Term<string> => ({ print: (bind) => `now + ${bind({ duration })}` })

const test = (print: (bind: Bind) => string): Filter => ({ print, level: 2 })

const member = (field: { readonly [PATH]: string }, operator: string, value: Param): Filter =>
  test((bind) => `${field[PATH]} ${operator} ${bind(value)}`)

function join(filters: Filter[], word: string, level: 0 | 1, none: string): Filter {
  if (filters.length < 2) return filters[0] ?? test(() => none)
  const print = (bind: Bind) =>
    filters.map((filter) => (filter.level <= level ? `(${filter.print(bind)})` : filter.print(bind))).join(` ${word} `)
  return { print, level }
}

function operand(value: unknown, bind: Bind): string {
  if (value !== null && typeof value === 'object') {
    if (PATH in value) return value[PATH] as string
    if ('print' in value) return (value as Term<unknown>).print(bind)
  }
  return bind(value as Param)
}

const WORDS = 'and or not anyof allof in startswith endswith contains now true false nothing null'.split(' ')

function field(path: string): object {
  return new Proxy(
    { [PATH]: path },
    {
      get(target, name) {
        if (typeof name === 'symbol') return target[name as typeof PATH]
        const isPlain = /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name) && (path || !WORDS.includes(name))
        const quoted = isPlain ? name : `\`${name.replaceAll('`', '``')}\``
        return field(path ? `${path}.${quoted}` : quoted)
      },
      has: (target, name) => name in target,
    },
  )
}
