import { createClient } from '@liveset/client'
import { LivesetProvider, useLiveQuery } from '@liveset/react'
import { createRoot } from 'react-dom/client'

type Order = { id: string; customer: { name: string }; total: number }
const db = createClient({ url: 'ws://127.0.0.1:8080/ws', token: 'any' })
const open = { from: 'orders', where: "status in ['pending', 'processing']", orderBy: 'createdAt desc', limit: 50 }

function Orders() {
  const { data, status, totalCount } = useLiveQuery<Order>(open)
  const items = data.map(({ id, customer, total }) => <li key={id}>{`${id} ${customer.name} ${total}`}</li>)
  return <main><h1>{totalCount} open orders: {status}</h1><ol>{items}</ol></main>
}

createRoot(document.getElementById('root')!).render(<LivesetProvider client={db}><Orders /></LivesetProvider>)
