import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { backoffDelayMs, ConfigurationError, resolveWholeNumber } from '../common/index.js';
import type { BatchContext } from './command-batch.js';
import type { CallOptions } from './executor.js';
import { TransactionConflictError } from './operations.errors.js';
import { WatchRound, type RoundResult, type TransactionPlan } from './optimistic.js';
import {
  RedisAbortedError,
  RedisOverloadedError,
  RedisTimeoutError,
  type RedisCallError,
} from './redis.errors.js';
import type { Lane, TransactionLanes } from './transaction-lanes.js';

/** Settings of {@link RedisOperations.optimistic}. */
export interface OptimisticOptions extends Pick<CallOptions, 'signal'> {
  /** Time for all attempts together, the caller's own code included. Milliseconds. @default 1500 */
  deadlineMs?: number;
  /** Attempts before the call gives up, 1 to 100. @default 10 */
  attempts?: number;
}

/** Users that may wait for a transaction connection at the same time. */
const MAX_WAITING = 1_000;

/** Deadlines of later attempts are rounded up to this, so that few different lengths occur. */
const DEADLINE_STEP_MS = 25;

type Plan = (client: Redis) => Promise<TransactionPlan>;

/** One call of `optimistic`: its attempts, its deadline, and the connection it borrows. */
export class OptimisticCall {
  private readonly attempts: number;
  private readonly ended = new AbortController();
  private readonly endsAtMs: number;

  constructor(
    private readonly context: BatchContext,
    private readonly keys: readonly string[],
    private readonly options: OptimisticOptions,
  ) {
    this.attempts = resolveWholeNumber(options.attempts ?? 10, 'attempts', { max: 100 });
    if (keys.length === 0) throw new ConfigurationError('optimistic needs at least one key to watch');
    this.endsAtMs = performance.now() + context.deadlineMs;
  }

  /** Waits for a connection and makes attempts until one succeeds or the time is over. */
  async run(lanes: TransactionLanes, plan: Plan): Promise<unknown> {
    const { signal } = this.options;
    const end = (): void => this.ended.abort();
    const timer = setTimeout(end, this.context.deadlineMs);
    const leave = signal && lanes.signals.follow(signal, end);
    if (signal?.aborted) end();
    try {
      const lane = await this.borrow(lanes);
      return await this.repeat(lane, plan).finally(() => lane.release());
    } finally {
      clearTimeout(timer);
      leave?.();
    }
  }

  private async borrow(lanes: TransactionLanes): Promise<Lane> {
    if (lanes.waiting >= MAX_WAITING) {
      const reason = `${lanes.waiting} transactions waiting for a connection`;
      throw new RedisOverloadedError(reason, { ...this.context, outcome: 'not-sent' });
    }
    const lane = await lanes.acquire(this.keys, this.ended.signal);
    if (!lane) throw this.failure();
    return lane;
  }

  private async repeat(lane: Lane, plan: Plan): Promise<unknown> {
    for (let attempt = 1; attempt <= this.attempts; attempt++) {
      if (attempt > 1) await this.pause(attempt);
      if (this.ended.signal.aborted) throw this.failure();
      const result = await this.attempt(lane, plan, attempt === 1);
      if (result.done) return result.results;
    }
    throw new TransactionConflictError(this.attempts, this.context);
  }

  /** Spread, so that processes that met do not meet again. */
  private async pause(attempt: number): Promise<void> {
    const waitMs = backoffDelayMs(attempt - 1, { baseMs: 10, capMs: 100 });
    await sleep(waitMs, undefined, { signal: this.ended.signal }).catch(() => undefined);
  }

  /** Ends at the deadline even when the plan never does. */
  private attempt(lane: Lane, plan: Plan, isFirst: boolean): Promise<RoundResult> {
    const remaining = () => (isFirst ? this.context.deadlineMs : this.remainingMs());
    const { signal } = this.ended;
    const round = new WatchRound(lane.executor, this.context, remaining, signal, this.options.signal);
    return new Promise((resolve, reject) => {
      const onEnd = (): void => {
        // Once EXEC is on its way, the executor's own deadline tells what is known about it.
        if (!round.isWriting) reject(this.failure());
        round.leave();
      };
      signal.addEventListener('abort', onEnd, { once: true });
      const running = round.run(this.keys, plan).finally(() => signal.removeEventListener('abort', onEnd));
      running.then(resolve, reject);
    });
  }

  private remainingMs(): number {
    const leftMs = this.endsAtMs - performance.now();
    return Math.max(1, Math.ceil(leftMs / DEADLINE_STEP_MS)) * DEADLINE_STEP_MS;
  }

  /** Nothing was written in any attempt so far. */
  private failure(): RedisCallError {
    const where = { ...this.context, outcome: 'not-sent' as const };
    return this.options.signal?.aborted
      ? new RedisAbortedError(where)
      : new RedisTimeoutError(this.context.deadlineMs, where);
  }
}
