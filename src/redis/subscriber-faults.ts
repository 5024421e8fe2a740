import { redactText } from '../common/index.js';
import type { ConnectionLogger, LogFormat } from './connection-log.js';

/** A listener that fails for every message must not fill the log: one line per source and 30 s. */
const LINE_EVERY_MS = 30_000;

/** Sources remembered; channels may be named after users. */
const MAX_SOURCES = 1000;

/** Writes what went wrong around subscriptions, without anything of the messages. */
export class SubscriptionFaults {
  private readonly sources = new Map<string, { lineAtMs: number; folded: number }>();

  constructor(
    private readonly connection: string,
    private readonly logger: ConnectionLogger,
    private readonly format: LogFormat,
  ) {}

  /** Runs a callback of the application; its errors, also those of its promise, end here. */
  isolate<T>(source: string, callback: (value: T) => unknown, value: T): void {
    try {
      const result = callback(value);
      if (isThenable(result)) result.then(undefined, (error: unknown) => this.report(source, error));
    } catch (error) {
      this.report(source, error);
    }
  }

  /** Writes a fault, or counts it while the last line about its source is fresh. */
  report(source: string, error: unknown): void {
    const nowMs = performance.now();
    const seen = this.sources.get(source);
    if (seen && nowMs - seen.lineAtMs < LINE_EVERY_MS) {
      seen.folded += 1;
      return;
    }
    const folded = seen?.folded ?? 0;
    this.remember(source, nowMs);
    const reason = redactText(error instanceof Error ? `${error.name}: ${error.message}` : typeof error);
    const { connection, logger, format } = this;
    const repeats = folded > 0 ? ` (${folded} repeats not shown)` : '';
    logger.warn(
      format === 'json'
        ? { event: 'redis.subscription', connection, source, reason, folded }
        : `✖ ${source} on ${connection}: ${reason}${repeats}`,
    );
  }

  /** The source whose line is oldest comes first, and goes first. */
  private remember(source: string, lineAtMs: number): void {
    this.sources.delete(source);
    this.sources.set(source, { lineAtMs, folded: 0 });
    const [oldest] = this.sources.keys();
    if (this.sources.size > MAX_SOURCES) this.sources.delete(oldest!);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
