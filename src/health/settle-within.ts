/** How a promise ended within the time it had. @internal */
export type Settled<T> =
  { readonly status: 'answered'; readonly value: T } | { readonly status: 'failed'; readonly error: unknown };

/**
 * Waits for a promise, but no longer than `ms`. Never rejects, so that one silent node does not hide
 * what the others said. @internal
 */
export function settleWithin<T>(promise: Promise<T>, ms: number): Promise<Settled<T>> {
  return new Promise((resolve) => {
    // The words of the client's own timeout, so that the executor takes it for one.
    const timer = setTimeout(() => fail(new Error('Command timed out')), ms);
    const fail = (error: unknown) => {
      clearTimeout(timer);
      resolve({ status: 'failed', error });
    };
    promise.then((value) => {
      clearTimeout(timer);
      resolve({ status: 'answered', value });
    }, fail);
  });
}

/** The server answered, though with an error: it is there, and not just starting. @internal */
export function isReply(error: unknown): error is Error {
  const { name, message } = (error ?? {}) as Partial<Error>;
  return name === 'ReplyError' && !message?.startsWith('LOADING');
}
