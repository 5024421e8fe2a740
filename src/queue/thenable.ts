/** Whether a value has to be waited for: also a promise of another realm, or of a library. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}

/**
 * Goes on with a value: at once where it is there. Where an `AsyncLocalStorage` is in use, every promise calls
 * its hooks, and a job that needs none should make none.
 */
export function goOn(value: unknown, next: (value: unknown) => unknown): unknown {
  return isThenable(value) ? Promise.resolve(value).then(next) : next(value);
}
