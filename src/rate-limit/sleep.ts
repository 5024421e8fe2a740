/**
 * Resolves after `ms` milliseconds. Does not keep the process alive.
 *
 * @throws the reason of `signal` as soon as it is aborted
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<undefined> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', onAbort);
        resolve(undefined);
      },
      Math.min(ms, 2 ** 31 - 1),
    );
    timer.unref();
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
