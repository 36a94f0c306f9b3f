import { expect, test } from 'vitest'
import { createClient } from '../src/index.js'
import {
  ago, allOf, and, anyOf, contains, desc, endsWith, eq, fields, fromNow, ge, gt, is, le, lt, ne, not, now, oneOf, or,
  order, startsWith, where, type Filter,
} from '../src/builder.js'
import { Chance } from './fake.js'
import { program, Server } from './server.js'

interface Order {
  id: string
  status: 'new' | 'paid'
  total: number
  urgent?: boolean
  tags: string[]
  createdAt: string
  customer: { name: string; 'zip code'?: string }
  in: number
}

const o = fields<Order>()

test('filters print the language, with values as parameters', () => {
  const cases: [Filter, string, unknown[]?][] = [
    [eq(o.status, 'new'), 'status == $p1', ['new']],
    [eq(o.customer.name, "'; drop"), 'customer.name == $p1', ["'; drop"]],
    [eq(o.customer['zip code'], null), 'customer.`zip code` == $p1', [null]],
    [ge(o.in, 1), '`in` >= $p1', [1]],
    [lt(o.total, o.in), 'total < `in`', []],
    [gt(o.createdAt, ago('7 days')), 'createdAt > now - $p1', [{ duration: '7 days' }]],
    [le(o.createdAt, new Date(0)), 'createdAt <= $p1', [new Date(0)]],
    [oneOf(o.status, ['new', 'paid']), 'status in $p1', [['new', 'paid']]],
    [anyOf(o.tags, ['a']), 'tags anyof $p1', [['a']]],
    [not(is(o.urgent)), 'not (urgent)', []],
    [and(), 'true', []],
    [or(), 'false', []],
    [or(eq(o.total, 1)), 'total == $p1', [1]],
    [
      and(or(eq(o.total, 1), ne(o.total, 2)), and(is(o.urgent), startsWith(o.status, 'n'))),
      '(total == $p1 or total != $p2) and (urgent and status startswith $p3)',
      [1, 2, 'n'],
    ],
    [or(and(is(o.urgent), is(o.urgent)), is(o.urgent)), 'urgent and urgent or urgent', []],
  ]
  for (const [filter, text, values] of cases) {
    const printed = where(filter)
    expect([printed.where, Object.values(printed.params)]).toEqual([text, values])
  }
  expect(order(desc(o.createdAt), o.customer.name)).toBe('createdAt desc, customer.name')
})

test('what does not fit is an error of the compiler', () => {
  // @ts-expect-error no such field
  void o.sttaus
  // @ts-expect-error no such status
  eq(o.status, 'nwe')
  // @ts-expect-error a number is not compared with a string
  gt(o.total, '5')
  // @ts-expect-error a list of strings has no numbers
  anyOf(o.tags, [5])
  // @ts-expect-error not a string
  startsWith(o.total, '5')
})

test.skipIf(!program)('the server reads what is printed, and finds what it means', async () => {
  const chance = new Chance(1)
  const at = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
  const orders = Array.from({ length: 60 }, (_, n): Order => ({
    id: `${n}`,
    status: chance.pick(['new', 'paid']),
    total: chance.below(10),
    ...(chance.below(2) && { urgent: chance.below(2) === 1 }),
    tags: ['a', 'b', 'c'].filter(() => chance.below(2)),
    createdAt: at(chance.below(20) - 10),
    customer: { name: chance.pick(['Ann', "O'Neil", '$p1']), ...(chance.below(2) && { 'zip code': '1' }) },
    in: chance.below(10),
  }))
  const leaves: [Filter, (order: Order) => boolean][] = [
    [eq(o.status, 'new'), ({ status }) => status === 'new'],
    [ne(o.urgent, true), ({ urgent }) => urgent !== true],
    [is(o.urgent), ({ urgent }) => urgent === true],
    [gt(o.total, 4), ({ total }) => total > 4],
    [le(o.total, o.in), (order) => order.total <= order.in],
    [oneOf(o.customer.name, ["O'Neil", '$p1']), ({ customer }) => customer.name !== 'Ann'],
    [eq(o.customer['zip code'], null), ({ customer }) => !customer['zip code']],
    [anyOf(o.tags, ['a', 'b']), ({ tags }) => tags.includes('a') || tags.includes('b')],
    [allOf(o.tags, ['a', 'b']), ({ tags }) => tags.includes('a') && tags.includes('b')],
    [startsWith(o.customer.name, "O'"), ({ customer }) => customer.name.startsWith("O'")],
    [endsWith(o.customer.name, 'n'), ({ customer }) => customer.name.endsWith('n')],
    [contains(o.customer.name, '$'), ({ customer }) => customer.name.includes('$')],
    [lt(o.createdAt, now), ({ createdAt }) => createdAt < at(0)],
    [gt(o.createdAt, ago('5 days')), ({ createdAt }) => createdAt > at(-5)],
    [lt(o.createdAt, fromNow('5 days')), ({ createdAt }) => createdAt < at(5)],
    [ge(o.createdAt, new Date(at(-0.5))), ({ createdAt }) => createdAt >= at(-0.5)],
  ]
  const grow = (depth: number): [Filter, (order: Order) => boolean] => {
    const kind = depth ? chance.below(4) : 3
    if (kind === 3) return chance.pick(leaves)
    const [left, isLeft] = grow(depth - 1)
    if (kind === 2) return [not(left), (order) => !isLeft(order)]
    const [right, isRight] = grow(depth - 1)
    return kind ? [and(left, right), (x) => isLeft(x) && isRight(x)] : [or(left, right), (x) => isLeft(x) || isRight(x)]
  }
  const server = new Server()
  await server.start(orders)
  const db = createClient<{ orders: Order }>({ url: server.url, token: 's3cret' })
  try {
    for (const [filter, isMeant] of [...leaves, ...Array.from({ length: 50 }, () => grow(3))]) {
      const asked = where(filter)
      const { data } = await db.query({ from: 'orders', ...asked, orderBy: order(o.total, desc(o.in)) })
      const meant = orders.filter(isMeant).sort((a, b) => a.total - b.total || b.in - a.in || (a.id < b.id ? -1 : 1))
      expect(data, asked.where).toEqual(meant)
    }
  } finally {
    db.close()
    await server.end()
  }
})
