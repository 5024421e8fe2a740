import type { INestApplicationContext } from '@nestjs/common';
import { ConnectionRegistry } from './connection-registry.js';

/** The part of a Nest application that is needed here; `close` takes the signal that ends it. */
export type Closable = Pick<INestApplicationContext, 'get'> & { close(signal?: string): Promise<void> };

/** Steps of a shutdown by signal. */
export type ShutdownEvent = 'closing' | 'closed' | 'forced' | 'timeout' | 'failed';

/** Settings of {@link enableGracefulShutdown}. */
export interface GracefulShutdownOptions {
  /** Signals that end the application. @default ['SIGTERM', 'SIGINT'] */
  signals?: readonly NodeJS.Signals[];
  /** Ends the process; replaced in tests. @default process.exit */
  exit?: (code: number) => void;
  /** Told what happens; nothing by default. */
  onEvent?: (event: ShutdownEvent, signal: string) => void;
}

/** A terminal's Ctrl-C can arrive twice at once: from the terminal and from a parent such as npm. */
const SAME_SIGNAL_MS = 500;

/**
 * Closes the application on the first signal and exits with 0; with 1 when closing fails or takes
 * longer than the configured shutdown timeout. A second signal, half a second or more later, exits
 * at once with 1.
 *
 * Use it instead of `app.enableShutdownHooks()`, which ends the process with the signal and ignores
 * the second one.
 *
 * @returns a function that removes the signal handlers
 */
export function enableGracefulShutdown(app: Closable, options: GracefulShutdownOptions = {}): () => void {
  const { signals = ['SIGTERM', 'SIGINT'], exit = (code) => process.exit(code) } = options;
  const tell = (event: ShutdownEvent, signal: string): void => {
    try {
      options.onEvent?.(event, signal);
    } catch {
      // A listener that fails must not keep the process from ending.
    }
  };
  const { shutdownTimeoutMs } = app.get(ConnectionRegistry).configuration;
  let startedMs: number | undefined;
  let finished = false;

  const onSignal = (signal: NodeJS.Signals): void => {
    if (startedMs === undefined) {
      startedMs = performance.now();
      void close(signal);
    } else if (performance.now() - startedMs >= SAME_SIGNAL_MS) {
      finished = true;
      tell('forced', signal);
      exit(1);
    }
  };
  const close = async (signal: NodeJS.Signals): Promise<void> => {
    tell('closing', signal);
    const timer = setTimeout(() => finish('timeout', 1, signal), shutdownTimeoutMs);
    const closed = await app.close(signal).then(
      () => true,
      () => false,
    );
    clearTimeout(timer);
    finish(closed ? 'closed' : 'failed', closed ? 0 : 1, signal);
  };
  // The first result counts: a close that ends after the timeout must not turn 1 into 0.
  const finish = (event: 'closed' | 'failed' | 'timeout', code: 0 | 1, signal: string): void => {
    if (finished) return;
    finished = true;
    tell(event, signal);
    exit(code);
  };

  for (const signal of signals) process.on(signal, onSignal);
  return () => signals.forEach((signal) => process.off(signal, onSignal));
}
