/** The page of `browser.test.ts`: a list that suspends, in StrictMode. It records everything that it shows. */
import { createClient } from '@liveset/client'
import { LivesetProvider, useConnection, useLiveQuery, useLiveQuerySuspense } from '@liveset/react'
import { StrictMode, Suspense } from 'react'
import { createRoot } from 'react-dom/client'

interface Order {
  id: string
  total: number
}

const db = createClient({ url: new URLSearchParams(location.search).get('server')!, token: 's3cret' })
const query = { from: 'orders', orderBy: 'total desc' }

function Orders() {
  const { status, data } = useLiveQuerySuspense<Order>(query)
  return <p id="suspense">{`${status}: ${data.map(({ id, total }) => `${id}=${total}`).join(' ')}`}</p>
}

function Count() {
  const { status, totalCount } = useLiveQuery<Order>({ from: 'orders', limit: 0 })
  return <p id="count">{`${status} ${totalCount}`}</p>
}

function Light() {
  return <p id="connection">{useConnection().status}</p>
}

const root = document.getElementById('root')!
const shown: string[] = []
Object.assign(window, { shown })
new MutationObserver(() => {
  const text = document.getElementById('suspense')?.textContent ?? document.getElementById('waiting')?.textContent ?? ''
  if (shown.at(-1) !== text) shown.push(text)
}).observe(root, { subtree: true, childList: true, characterData: true })

createRoot(root).render(
  <StrictMode>
    <LivesetProvider client={db}>
      <Light />
      <Count />
      <Suspense fallback={<p id="waiting">waiting</p>}>
        <Orders />
      </Suspense>
    </LivesetProvider>
  </StrictMode>,
)
