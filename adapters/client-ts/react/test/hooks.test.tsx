// @vitest-environment happy-dom
import { createClient, type LivesetClient, type Query } from '@liveset/client'
import { act, cleanup, render } from '@testing-library/react'
import { Component, StrictMode, Suspense, startTransition, useState, type ReactNode } from 'react'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FakeServer, type Row } from '../../client/test/fake.js'
import { LivesetProvider, useConnection, useEvents, useLiveQuery, useLiveQuerySuspense } from '../src/index.js'

let server: FakeServer
let db: LivesetClient

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
  server = new FakeServer()
  server.commit({ id: 'a', g: 1, n: 1 }, { id: 'b', g: 2, n: 2 })
  db = createClient({ url: 'ws://fake/ws', token: 't', WebSocket: server.WebSocket, backoff: () => 100 })
})
afterEach(() => {
  cleanup()
  db.close()
  vi.useRealTimers()
})

/** React renders every half second at least. */
async function wait(ms: number): Promise<void> {
  for (; ms > 0; ms -= 500) await act(() => vi.advanceTimersByTimeAsync(Math.min(ms, 500)))
}

const sent = (type: string) => server.received.filter((message) => message.type === type).length
const group = (g: number): Query => ({ from: 'rows', where: 'g == $g', params: { g }, orderBy: 'n' })

function show(node: ReactNode, isStrict = true): { text: () => string; update: (node: ReactNode) => void } {
  const around = (inside: ReactNode) => {
    const page = <LivesetProvider client={db}>{inside}</LivesetProvider>
    return isStrict ? <StrictMode>{page}</StrictMode> : page
  }
  const { container, rerender } = render(around(node))
  return { text: () => container.textContent ?? '', update: (next) => rerender(around(next)) }
}

function List({ query, keepPrevious = false }: { query: Query | null; keepPrevious?: boolean }) {
  const { status, data, isPrevious } = useLiveQuery<Row>(query, { keepPrevious })
  return `${status}${isPrevious ? ' of before' : ''}: ${data.map(({ id, n }) => `${id}${n}`).join(' ')}`
}

test('a list is there, and follows', async () => {
  const page = show(<List query={{ from: 'rows', orderBy: 'n' }} />)
  expect(page.text()).toBe('loading: ')
  await wait(10)
  expect(page.text()).toBe('live: a1 b2')
  server.commit({ id: 'c', g: 1, n: 0 }, { id: 'a', g: 1, n: 9 })
  await wait(10)
  expect(page.text()).toBe('live: c0 b2 a9')
  server.isReachable = false
  act(() => server.restart())
  expect(page.text()).toBe('stale: c0 b2 a9')
  server.commit('b')
  server.isReachable = true
  await wait(500)
  expect(page.text()).toBe('live: c0 a9')
})

test('components that come and go share one subscription, also in StrictMode', async () => {
  const page = show(
    <>
      <List query={group(1)} />
      <List query={group(1)} />
    </>,
  )
  await wait(10)
  page.update(null)
  await wait(1_000)
  page.update(<List query={group(1)} />)
  expect(page.text()).toBe('live: a1')
  await wait(10_000)
  expect([sent('createLiveQuery'), sent('destroyLiveQuery')]).toEqual([1, 0])
  page.update(null)
  await wait(10_000)
  expect([sent('createLiveQuery'), sent('destroyLiveQuery')]).toEqual([1, 1])
})

test('rows of another query are never shown unmarked', async () => {
  const page = show(<List query={group(1)} />)
  await wait(10)
  expect(page.text()).toBe('live: a1')
  page.update(<List query={group(2)} />)
  expect(page.text()).toBe('loading: ')
  await wait(10)
  expect(page.text()).toBe('live: b2')
  page.update(<List query={group(3)} keepPrevious />)
  expect(page.text()).toBe('loading of before: b2')
  await wait(10)
  expect(page.text()).toBe('live: ')
  page.update(<List query={null} keepPrevious />)
  expect(page.text()).toBe('idle: ')
})

class Boundary extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {}
  static getDerivedStateFromError = (error: Error) => ({ error })
  override render = () => (this.state.error ? `error: ${this.state.error.message}` : this.props.children)
}

let frames: string[] = []
function Suspending({ query }: { query: Query }) {
  const { status, data } = useLiveQuerySuspense<Row>(query)
  const text = `${status}: ${data.map(({ id, n }) => `${id}${n}`).join(' ')}`
  frames.push(text)
  return text
}

const suspending = (query: Query) => (
  <Boundary>
    <Suspense fallback="waiting">
      <Suspending query={query} />
    </Suspense>
  </Boundary>
)

test.for([true, false])('a component suspends until there are rows (StrictMode: %s)', async (isStrict) => {
  frames = []
  const page = show(suspending(group(1)), isStrict)
  expect(page.text()).toBe('waiting')
  await wait(10)
  expect(page.text()).toBe('live: a1')
  server.commit({ id: 'a', g: 1, n: 5 })
  await wait(10)
  expect(page.text()).toBe('live: a5')
  expect(new Set(frames)).toEqual(new Set(['live: a1', 'live: a5']))
  expect(sent('createLiveQuery')).toBe(1)
})

test('nobody waits for ever, whatever dies meanwhile', async () => {
  frames = []
  server.isReachable = false
  const page = show(suspending(group(1)))
  await wait(60_000)
  page.update(null)
  await wait(60_000)
  page.update(suspending(group(1)))
  await wait(1_000)
  server.isReachable = true
  server.latency = 1_000
  await wait(1_500)
  server.restart()
  await wait(60_000)
  expect(page.text()).toBe('live: a1')
  server.isReachable = false
  act(() => server.restart())
  expect(page.text()).toBe('stale: a1')
  server.isReachable = true
  await wait(60_000)
  expect(page.text()).toBe('live: a1')
  expect(new Set(frames)).toEqual(new Set(['live: a1', 'stale: a1']))
})

test('a query that is refused goes to the error boundary', async () => {
  const errors = vi.spyOn(console, 'error').mockImplementation(() => {})
  const page = show(suspending({ from: 'rwos' }))
  await wait(10)
  expect(page.text()).toBe("error: there is no set 'rwos'")
  errors.mockRestore()
})

test('a transition keeps the list of before until the next is there', async () => {
  let change = (_: number) => {}
  function Page() {
    const [g, set] = useState(1)
    change = (next) => startTransition(() => set(next))
    return suspending(group(g))
  }
  const page = show(<Page />)
  await wait(10)
  act(() => change(2))
  expect(page.text()).toBe('live: a1')
  await wait(10)
  expect(page.text()).toBe('live: b2')
})

test('events go to the listener of the last render', async () => {
  const [one, two] = [vi.fn(), vi.fn()]
  const Listener = ({ listener }: { listener: () => void }) => {
    useEvents('jobs', ['jobCompleted', 'jobFailed'], listener)
    return null
  }
  const page = show(<Listener listener={one} />, false)
  await wait(10)
  page.update(<Listener listener={two} />)
  const event = { type: 'event', subscriptionIds: ['1'], eventType: 'jobFailed', path: 'jobs', data: 1, timestamp: '' }
  for (const session of server.sessions) session.send(event as never)
  await wait(10)
  expect([one.mock.calls.length, two.mock.calls.length]).toEqual([0, 1])
  page.update(null)
  await wait(10)
  expect([sent('subscribeEvents'), sent('unsubscribeEvents')]).toEqual([1, 1])
})

test('the connection is shown', async () => {
  const Light = () => useConnection().status
  const page = show(<Light />)
  expect(page.text()).toBe('connecting')
  await wait(10)
  expect(page.text()).toBe('connected')
  server.isReachable = false
  act(() => server.restart())
  expect(page.text()).toBe('reconnecting')
})

test.for([
  ['online', () => window.dispatchEvent(new Event('online'))],
  ['visible', () => document.dispatchEvent(new Event('visibilitychange'))],
] as const)('the browser that is %s again ends the wait for the next attempt', async ([, wake]) => {
  db.close()
  db = createClient({ url: 'ws://fake/ws', token: 't', WebSocket: server.WebSocket, backoff: () => 60_000 })
  await wait(10)
  server.isReachable = false
  server.restart()
  server.isReachable = true
  await wait(10_000)
  expect(db.connection.status).toBe('reconnecting')
  const isVisible = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('visible')
  wake()
  await wait(10)
  expect(db.connection.status).toBe('connected')
  isVisible.mockRestore()
})

test('a component without a provider says what is missing', () => {
  const errors = vi.spyOn(console, 'error').mockImplementation(() => {})
  expect(() => render(<List query={null} />)).toThrow('<LivesetProvider')
  errors.mockRestore()
})
