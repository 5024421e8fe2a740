import { judge, printReport, type LedgerReport, type Operation, type Verdict } from './ledger-report.js';

export type { LedgerReport } from './ledger-report.js';

/** Settings of {@link OperationLedger}. */
export interface LedgerOptions {
  /**
   * Applies one operation: `HINCRBY key id 1`, exactly once, through whatever is under test. Its
   * promise is what the application would believe.
   */
  readonly apply: (key: string, id: string) => Promise<unknown>;
  /** Hashes the operations go to in turn; several for a Cluster, so that every shard gets some. */
  readonly keys: readonly string[];
  /** Operations on their way at the same time. @default 20 */
  readonly workers?: number;
  /** Pause of a worker after each operation, in milliseconds. Keeps a test from starving the machine. @default 2 */
  readonly pauseMs?: number;
  /** An operation that has not settled after this many milliseconds counts as hung. @default 5000 */
  readonly boundMs?: number;
}

/**
 * Keeps the books of a fault test: many workers apply operations with unique ids, and afterwards the
 * server's copy shows which were lost, applied twice, or applied although their error denied it.
 *
 * @example
 * const ledger = new OperationLedger({ keys: ['ops'], apply: (key, id) => redis.hincrby(key, id, 1) });
 * ledger.start();
 * await breakSomething();
 * await ledger.stop();
 * const report = await ledger.audit((key) => redis.hgetall(key));
 */
export class OperationLedger {
  private readonly operations: Operation[] = [];
  private readonly running: Promise<void>[] = [];
  private stopped = false;

  constructor(private readonly options: LedgerOptions) {}

  /** Operations acknowledged so far. */
  get acknowledged(): number {
    return this.operations.filter(({ verdict }) => verdict === 'acked').length;
  }

  /** Whether an operation that began after `sinceMs` (monotonic) was acknowledged. */
  ackedSince(sinceMs: number, key?: string): boolean {
    for (let i = this.operations.length - 1; i >= 0; i -= 1) {
      const operation = this.operations[i]!;
      if (operation.startedMs < sinceMs) return false;
      if (operation.verdict === 'acked' && (key === undefined || operation.key === key)) return true;
    }
    return false;
  }

  /** Starts the workers. */
  start(): void {
    const { workers = 20 } = this.options;
    for (let worker = 0; worker < workers; worker += 1) this.running.push(this.work());
  }

  /** Lets the workers finish what they began; an operation that hangs delays this by its bound only. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.running);
  }

  /** Compares what the application believes with what the server holds. */
  async audit(read: (key: string) => Promise<Record<string, string>>): Promise<LedgerReport> {
    const counts = new Map<string, number>();
    for (const key of new Set(this.options.keys)) {
      for (const [id, count] of Object.entries(await read(key))) counts.set(id, Number(count));
    }
    return judge(this.operations, counts);
  }

  /** Writes the figures to stderr, under a label. */
  print(label: string, report: LedgerReport): void {
    process.stderr.write(`${printReport(label, report)}\n`);
  }

  private async work(): Promise<void> {
    const { keys, pauseMs = 2 } = this.options;
    while (!this.stopped) {
      const index = this.operations.length;
      const operation: Operation = {
        id: `op${index}`,
        key: keys[index % keys.length]!,
        startedMs: performance.now(),
        endedMs: Infinity,
        verdict: 'hung',
      };
      this.operations.push(operation);
      await this.perform(operation);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Settles when the operation does, or when its bound has passed. */
  private perform(operation: Operation): Promise<void> {
    const { apply, boundMs = 5000 } = this.options;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, boundMs);
      const settle = (verdict: Verdict): void => {
        clearTimeout(timer);
        operation.verdict = verdict;
        operation.endedMs = performance.now();
        resolve();
      };
      apply(operation.key, operation.id).then(
        () => settle('acked'),
        (error: unknown) => settle(verdictOf(error)),
      );
    });
  }
}

function verdictOf(error: unknown): Verdict {
  const { outcome } = error as { outcome?: unknown };
  return outcome === 'not-sent' || outcome === 'refused' ? outcome : 'unknown';
}
