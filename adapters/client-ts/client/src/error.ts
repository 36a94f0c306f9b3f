/** What went wrong. `code` is one of the protocol's, such as `INVALID_QUERY`; `message` says what to do. */
export class LivesetError extends Error {
  override readonly name = 'LivesetError'

  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

/** The client was closed while somebody waited. */
export const closed = (): LivesetError => new LivesetError('CLOSED', 'The client is closed.')

/** Calls a function of the host. What it throws is reported as uncaught, and stops nothing of ours. */
export function call<A extends unknown[]>(listener: ((...args: A) => void) | undefined, ...args: A): void {
  try {
    listener?.(...args)
  } catch (error) {
    setTimeout(() => {
      throw error
    })
  }
}
