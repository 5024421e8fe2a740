/** Answer of {@link raceTimeout} when the time is over first. */
export const TIMED_OUT = Symbol('timed out');

/**
 * Waits for work, but no longer than a time. The work goes on; its late failure is nobody's. The wait alone
 * keeps no process alive.
 */
export async function raceTimeout<T>(work: Promise<T>, ms: number): Promise<T | typeof TIMED_OUT> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<typeof TIMED_OUT>((resolve) => {
    timer = setTimeout(resolve, ms, TIMED_OUT).unref();
  });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
