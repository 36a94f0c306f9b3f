import { connect, createServer, type AddressInfo, type Server as Listener, type Socket } from 'node:net'

/** A network in front of a server, which cuts, stalls and delays. */
export class Network {
  readonly #listener: Listener
  readonly #pairs = new Set<[Socket, Socket]>()
  /** Milliseconds before each piece goes on, and how large a piece is at most. */
  delay = 0
  bytes = 65_536

  constructor(readonly target: () => string) {
    this.#listener = createServer((client) => {
      const [host, port] = this.target().split(':')
      const server = connect(Number(port), host)
      const pair: [Socket, Socket] = [client, server]
      this.#pairs.add(pair)
      this.#carry(client, server, pair)
      this.#carry(server, client, pair)
    })
  }

  #carry(from: Socket, to: Socket, pair: [Socket, Socket]): void {
    // Timers may swap. What is on the way may not.
    const line: Buffer[] = []
    let last = 0
    from.on('data', (data) => {
      for (let at = 0; at < data.length; at += this.bytes) {
        line.push(data.subarray(at, at + this.bytes))
        last = Math.max(last, performance.now()) + this.delay
        setTimeout(() => to.write(line.shift()!), Math.max(0, last - performance.now()))
      }
    })
    from.on('error', () => {})
    from.on('close', () => {
      to.destroy()
      this.#pairs.delete(pair)
    })
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#listener.listen(0, '127.0.0.1', resolve))
    return `ws://127.0.0.1:${(this.#listener.address() as AddressInfo).port}/ws`
  }

  /** All connections end. What is on the way is lost. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** All connections go silent, and nobody is told. */
  stall(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.removeAllListeners('data').resume()
  }

  close(): void {
    this.#listener.close()
    this.cut()
  }
}
