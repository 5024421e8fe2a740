import { Cluster, type Redis } from 'ioredis';
import type { RedisClient } from './client-factory.js';
import { runTransaction, type BatchBuilder, type BatchContext, type BatchResults } from './command-batch.js';
import type { CallOptions, RedisExecutor } from './executor.js';
import { PipelineError } from './operations.errors.js';
import { ownOrCallError, runKeeping } from './own-errors.js';
import { RedisCommandError } from './redis.errors.js';
import { assertSameSlot } from './slots.js';

/** What to write, as commands; or `undefined` to leave everything as it is. */
export type TransactionPlan = BatchBuilder<readonly unknown[]> | undefined;

/** Replies of the commands a {@link TransactionPlan} added; `undefined` when there was none. */
export type PlanResults<Plan> = Plan extends (queue: never) => infer Replies
  ? Replies extends readonly unknown[]
    ? BatchResults<Replies>
    : never
  : undefined;

/** What came of one attempt. */
export type RoundResult = { readonly done: true; readonly results: unknown } | { readonly done: false };

const CONFLICT: RoundResult = Object.freeze({ done: false });

/** Time left for a call, in milliseconds; throws when there is none. */
export type Remaining = () => number;

/**
 * One attempt: WATCH, the user's reads, then MULTI ... EXEC. Ends with the watch given up, whatever
 * happened. A connection that broke in between has lost its watch, so nothing is written on its
 * successor: the attempt counts as a conflict.
 */
export class WatchRound {
  private node: Redis | undefined;
  private isWatching = false;
  private hasDropped = false;
  /** Whether MULTI ... EXEC left this process: from here on only its answer tells what happened. */
  isWriting = false;
  private readonly onClose = (): void => {
    this.hasDropped = true;
  };

  constructor(
    private readonly executor: RedisExecutor,
    private readonly context: BatchContext,
    private readonly remaining: Remaining,
    /** Aborted when nobody waits for the attempt any more. */
    private readonly ended: AbortSignal,
    /** Of the caller; ends the attempt also while EXEC is on its way. */
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** Runs the attempt. `plan` is the user's code; its errors pass through unchanged. */
  async run(
    keys: readonly string[],
    plan: (client: Redis) => Promise<TransactionPlan>,
  ): Promise<RoundResult> {
    try {
      const node = await this.watch(keys);
      const build = await plan(node).catch((error: unknown) => {
        throw ownOrCallError(error, this.context);
      });
      return build ? await this.write(node, build) : { done: true, results: undefined };
    } catch (error) {
      if (!isMoved(error)) throw error;
      await this.follow(keys);
      return CONFLICT;
    } finally {
      this.leave();
    }
  }

  /** A command of the Cluster client is redirected, and with it the client's map of the slots. */
  private async follow(keys: readonly string[]): Promise<void> {
    const call = (client: RedisClient): Promise<number> => client.exists(keys[0]!);
    await this.executor.run(this.context.operation, call, this.readOptions());
  }

  /** Gives the watch up. A later step of the attempt writes nothing. */
  leave(): void {
    this.node?.off('close', this.onClose);
    this.hasDropped = true;
    if (!this.isWatching || this.node?.status !== 'ready') return;
    this.isWatching = false;
    this.node.unwatch().catch(() => undefined);
  }

  private watch(keys: readonly string[]): Promise<Redis> {
    const call = async (client: RedisClient): Promise<Redis> => {
      const node = nodeOf(client, keys);
      if (!node) throw new Error('Connection is closed.');
      this.node?.off('close', this.onClose);
      this.node = node.once('close', this.onClose);
      this.hasDropped = false;
      this.isWatching = true;
      await node.watch(...keys);
      return node;
    };
    return runKeeping(this.executor, this.context.operation, call, this.readOptions());
  }

  private async write(node: Redis, build: BatchBuilder<readonly unknown[]>): Promise<RoundResult> {
    if (this.isVoid(node)) return CONFLICT;
    const call = async (client: RedisClient): Promise<RoundResult> => {
      if (this.isVoid(node)) return CONFLICT;
      this.isWriting = true;
      const results = await runTransaction(node, this.context, build, client instanceof Cluster);
      this.isWatching = false; // EXEC gave the watch up
      return results ? { done: true, results } : CONFLICT;
    };
    return runKeeping(this.executor, this.context.operation, call, this.writeOptions());
  }

  /** Whether the watch is gone. The status is the present; the event of a close comes a tick later. */
  private isVoid(node: Redis): boolean {
    return this.hasDropped || node.status !== 'ready';
  }

  /** A connection that comes back after the end finds nobody who waits for it. */
  private readOptions(): CallOptions {
    return { deadlineMs: this.remaining(), idempotent: true, signal: this.ended };
  }

  private writeOptions(): CallOptions {
    return { deadlineMs: this.remaining(), ...(this.signal ? { signal: this.signal } : {}) };
  }
}

/** The slot is served, or about to be served, by another node; nothing was written here. */
function isMoved(error: unknown): boolean {
  if (error instanceof PipelineError)
    return error.applied === 0 && error.failures.every((one) => isMoved(one.error));
  return error instanceof RedisCommandError && (error.reply === 'MOVED' || error.reply === 'ASK');
}

/** In a Cluster the one connection that holds the keys: a redirect would lose the watch unnoticed. */
function nodeOf(client: RedisClient, keys: readonly string[]): Redis | undefined {
  if (!(client instanceof Cluster)) return client;
  const address = client.slots[assertSameSlot(keys)]?.[0];
  return client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === address);
}
