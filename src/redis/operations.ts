import type { Redis } from 'ioredis';
import {
  runPipeline,
  runTransaction,
  type BatchBuilder,
  type BatchContext,
  type BatchResults,
} from './command-batch.js';
import { DEFAULT_DEADLINE_MS, type CallOptions, type RedisExecutor } from './executor.js';
import { scanPages, type ScanOptions } from './key-scan.js';
import { TransactionConflictError } from './operations.errors.js';
import { OptimisticCall, type OptimisticOptions } from './optimistic-call.js';
import type { PlanResults, TransactionPlan } from './optimistic.js';
import { runKeeping } from './own-errors.js';
import type { TransactionLanes } from './transaction-lanes.js';
import { unlinkByPattern, type UnlinkOptions } from './unlink-by-pattern.js';

/**
 * Work with more than one command or key, done with care: batches whose errors cannot be overlooked,
 * transactions that repeat when someone else was faster, and scans that never block the server.
 * Inject it for the default connection, or take it from `ConnectionRegistry.operations(name)`.
 *
 * @example
 * constructor(private readonly operations: RedisOperations) {}
 */
export class RedisOperations {
  /** @internal use injection, or `ConnectionRegistry.operations()` */
  constructor(
    /** Name of the connection. */
    readonly connection: string,
    private readonly executor: () => RedisExecutor,
    private readonly lanes: TransactionLanes,
  ) {}

  /**
   * Sends several commands in one write and returns their replies with their types. One round trip.
   * The commands are independent: some may take effect while others fail. In a Cluster the keys must be
   * served by one master.
   *
   * @param operation short name for errors and diagnostics
   * @param build adds the commands; must be synchronous, and may run again when `idempotent` is set
   * @throws {PipelineError} when at least one command failed, naming each
   * @throws {CrossSlotError} in a Cluster, when the keys are spread over masters
   * @throws the errors of {@link RedisExecutor.run}
   * @example
   * const [name, visits] = await operations.pipeline('user.visit', (queue) => [
   *   queue.hget(key, 'name'),
   *   queue.hincrby(key, 'visits', 1),
   * ]);
   */
  pipeline<const Replies extends readonly unknown[]>(
    operation: string,
    build: BatchBuilder<Replies>,
    options: CallOptions = {},
  ): Promise<BatchResults<Replies>> {
    const context = this.context(operation, options);
    return runKeeping(this.executor(), operation, (client) => runPipeline(client, context, build), options);
  }

  /**
   * Sends several commands as MULTI ... EXEC: they run together, or not at all when one of them is not
   * accepted. One round trip. A command that fails while it runs does not undo the others. In a Cluster
   * all keys must share a slot.
   *
   * @throws {PipelineError} when commands failed; `applied` is 0 when the server discarded all of them
   * @throws {CrossSlotError} in a Cluster, when the keys do not share a slot
   * @throws the errors of {@link RedisExecutor.run}
   * @see https://redis.io/docs/latest/develop/interact/transactions/
   */
  async multi<const Replies extends readonly unknown[]>(
    operation: string,
    build: BatchBuilder<Replies>,
    options: CallOptions = {},
  ): Promise<BatchResults<Replies>> {
    const context = this.context(operation, options);
    const call = (client: Parameters<typeof runTransaction>[0]) => runTransaction(client, context, build);
    const results = await runKeeping(this.executor(), operation, call, options);
    // Only a watched key makes EXEC answer nothing; someone used WATCH on the shared client.
    if (!results) throw new TransactionConflictError(1, context);
    return results;
  }

  /**
   * Reads, decides, and writes only if the keys did not change meanwhile; repeats when they did. Runs on
   * a connection of the `transaction` role that no one else uses at the time. Two round trips per attempt
   * (WATCH, MULTI ... EXEC) and those of `plan`'s reads.
   *
   * @param keys what must not change; all keys that `plan` reads to decide. In a Cluster they must share
   * a slot, also with the keys that are written
   * @param plan reads with the given client, and returns the commands to run, or `undefined` to write
   * nothing. It may run several times: keep it free of other effects
   * @returns the replies of the commands, or `undefined` when `plan` returned none
   * @throws {TransactionConflictError} when all attempts met a change
   * @throws {PipelineError} when a command failed
   * @throws {CrossSlotError} in a Cluster, before anything is sent
   * @throws {RedisTimeoutError} when the deadline passed; the connection is free again
   * @throws the errors of {@link RedisExecutor.run}, and whatever `plan` throws
   * @see https://redis.io/docs/latest/develop/interact/transactions/#optimistic-locking-using-check-and-set
   * @example
   * await operations.optimistic('stock.take', [key], async (redis) => {
   *   const stock = Number(await redis.get(key));
   *   return stock > 0 ? (queue) => [queue.decr(key)] : undefined;
   * });
   */
  async optimistic<Plan extends TransactionPlan>(
    operation: string,
    keys: readonly string[],
    plan: (client: Redis) => Promise<Plan>,
    options: OptimisticOptions = {},
  ): Promise<PlanResults<Plan>> {
    const context = this.context(operation, options);
    const call = new OptimisticCall(context, keys, options);
    return (await call.run(this.lanes, plan)) as PlanResults<Plan>;
  }

  /**
   * Visits keys one by one, over all masters of a Cluster, one SCAN per page. Never blocks the server.
   * What SCAN guarantees holds: a key that exists from start to end is seen; one that is added or removed
   * meanwhile may be seen or not. A key can come twice, rarely within one master (the last thousands are
   * remembered), and when its slot moves. Leaving the loop ends the scan. Text keys only.
   *
   * @throws {ConfigurationError} when an option is out of range
   * @throws the errors of {@link RedisExecutor.run}, per page
   * @see https://redis.io/docs/latest/commands/scan/
   * @example
   * for await (const key of operations.scan({ match: 'shop:cart:*' })) console.log(key);
   */
  async *scan(options: ScanOptions = {}): AsyncGenerator<string, void, undefined> {
    for await (const page of scanPages(this.executor(), 'redis.scan', options)) yield* page;
  }

  /**
   * Removes all keys that match a glob pattern, in bounded batches. Per batch one SCAN and one UNLINK; in
   * a Cluster one UNLINK per slot, sent together. Memory is freed by the server in the background.
   *
   * @returns keys removed; too low when a connection broke while an answer was on its way
   * @throws {ConfigurationError} when the pattern is empty, longer than 256 characters, or matches
   * everything and `allowAll` is not set
   * @throws the errors of {@link RedisExecutor.run}; what was removed before stays removed
   * @see https://redis.io/docs/latest/commands/unlink/
   */
  unlinkByPattern(pattern: string, options: UnlinkOptions = {}): Promise<number> {
    return unlinkByPattern(this.executor(), pattern, options);
  }

  private context(operation: string, { deadlineMs = DEFAULT_DEADLINE_MS }: CallOptions): BatchContext {
    return { connection: this.connection, operation, deadlineMs };
  }
}
