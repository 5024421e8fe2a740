import { isNativeError } from 'node:util/types';
import { Cluster, Command, type ChainableCommander, type Redis, type RedisCommander } from 'ioredis';
import type { RedisClient } from './client-factory.js';
import { toCallError } from './error-mapping.js';
import { PipelineError, type FailedCommand } from './operations.errors.js';
import { assertSameSlot } from './slots.js';

/** Commands that would change the connection, or the batch itself. */
const REFUSED = [
  ...(['multi', 'exec', 'execBuffer', 'discard', 'watch', 'unwatch'] as const),
  ...(['subscribe', 'psubscribe', 'ssubscribe', 'monitor'] as const),
  ...(['auth', 'hello', 'reset', 'select', 'quit'] as const),
  ...(['addBatch', 'sendCommand'] as const),
] as const;

/**
 * The commands of ioredis, with their own types, for use in a batch: each is added to it, and the
 * promise it returns settles when the batch was answered. Do not await it while building.
 */
export type CommandQueue = Omit<RedisCommander, (typeof REFUSED)[number]>;

/** Adds commands to a batch and returns the replies it wants, in the order it wants them. */
export type BatchBuilder<Replies extends readonly unknown[]> = (queue: CommandQueue) => Replies;

/** What the promises a {@link BatchBuilder} returned resolve to. */
export type BatchResults<Replies extends readonly unknown[]> = {
  -readonly [Index in keyof Replies]: Awaited<Replies[Index]>;
};

/** The call a batch belongs to. */
export interface BatchContext {
  readonly connection: string;
  readonly operation: string;
  readonly deadlineMs: number;
}

/** Reply of one command as the client gives it. */
type RawReply = [error: Error | null, value?: unknown];

interface Entry {
  readonly command: string;
  readonly keys: readonly (string | Buffer)[];
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Sends the commands that `build` adds in one write and returns their replies.
 *
 * @throws {PipelineError} when commands failed; the client's own error when the connection did
 */
export async function runPipeline<Replies extends readonly unknown[]>(
  client: RedisClient,
  context: BatchContext,
  build: BatchBuilder<Replies>,
): Promise<BatchResults<Replies>> {
  const chain = client.pipeline();
  const batch = new CommandBatch(chain, client instanceof Cluster);
  return batch.finish(build, async () => {
    if (batch.entries.length === 0) return;
    batch.deliver(await execute(chain, batch), context);
  });
}

/**
 * The same between MULTI and EXEC: all of the commands run, with nothing in between, or none.
 *
 * @returns `undefined` when a watched key had changed
 * @throws {PipelineError} when commands failed or the server discarded the transaction
 * @throws {CrossSlotError} in a Cluster, when the keys are not in one slot
 */
export async function runTransaction<Replies extends readonly unknown[]>(
  client: Redis | Cluster,
  context: BatchContext,
  build: BatchBuilder<Replies>,
  isCluster = client instanceof Cluster,
): Promise<BatchResults<Replies> | undefined> {
  const chain = client.pipeline();
  (chain as unknown as { multi(): void }).multi(); // missing from the type of a pipeline
  const batch = new CommandBatch(chain, isCluster);
  let isConflict = false;
  const results = await batch.finish(build, async () => {
    if (isCluster) assertSameSlot(batch.keys);
    void chain.exec(); // adds EXEC; the next one sends the batch
    const replies = unwrapTransaction((await chain.exec()) as RawReply[]);
    if (replies) batch.deliver(replies.list, context, replies.isDiscarded);
    else isConflict = true;
  });
  return isConflict ? undefined : results;
}

/** Collects commands and hands each its reply. */
class CommandBatch {
  readonly entries: Entry[] = [];

  constructor(
    private readonly chain: ChainableCommander,
    private readonly needsKeys: boolean,
  ) {}

  get keys(): (string | Buffer)[] {
    return this.entries.flatMap(({ keys }) => keys);
  }

  /** Builds, sends, and waits for what the builder made of the replies. Nothing stays pending. */
  async finish<Replies extends readonly unknown[]>(
    build: BatchBuilder<Replies>,
    send: () => Promise<void>,
  ): Promise<BatchResults<Replies>> {
    const wanted = build(this.queue());
    if (!Array.isArray(wanted)) throw new TypeError('The builder of a batch must return an array of replies');
    const settled = Promise.allSettled(wanted);
    try {
      await send();
    } catch (error) {
      for (const entry of this.entries) entry.reject(error);
      await settled;
      throw error;
    }
    // After a conflict no reply exists; the caller drops the result.
    for (const entry of this.entries) entry.resolve(undefined);
    return (await Promise.all(wanted)) as BatchResults<Replies>;
  }

  /** Gives every command its reply, or fails with all that went wrong. */
  deliver(replies: readonly RawReply[], context: BatchContext, isDiscarded = false): void {
    const failed = replies.flatMap(([error], index) => (error ? [{ index, error }] : []));
    if (failed.length === 0) {
      this.entries.forEach((entry, index) => entry.resolve(replies[index]?.[1]));
      return;
    }
    const failures = failed.map(({ index, error }): FailedCommand => {
      const { command } = this.entries[index] ?? { command: 'unknown' };
      return { index, command, error: toCallError(error, context) };
    });
    const total = this.entries.length;
    // One cause for all, such as a lost connection: the plain error says more.
    if (total > 1 && failures.length === total && !isDiscarded && isSameFault(failures))
      throw failed[0]!.error;
    const applied = isDiscarded ? 0 : total - failures.length;
    throw new PipelineError(failures as [FailedCommand, ...FailedCommand[]], total, applied, context);
  }

  private queue(): CommandQueue {
    return new Proxy(this.chain, {
      get: (chain, name) => {
        const method: unknown = Reflect.get(chain, name);
        if (typeof name !== 'string' || typeof method !== 'function') return undefined;
        if ((REFUSED as readonly string[]).includes(name))
          throw new TypeError(`${name} cannot be part of a batch`);
        return (...args: unknown[]) => this.add(name, method as (...args: unknown[]) => unknown, args);
      },
    }) as unknown as CommandQueue;
  }

  private add(name: string, method: (...args: unknown[]) => unknown, args: unknown[]): Promise<unknown> {
    method.apply(this.chain, args);
    const isGeneric = name === 'call' || name === 'callBuffer';
    const command = String(isGeneric ? args[0] : name.replace(/Buffer$/, '')).toLowerCase();
    const keys = this.needsKeys ? keysOf(command, isGeneric ? args.slice(1) : args) : [];
    const reply = new Promise<unknown>((resolve, reject) => {
      this.entries.push({ command, keys, resolve, reject });
    });
    reply.catch(() => undefined);
    return reply;
  }
}

function isSameFault(failures: readonly FailedCommand[]): boolean {
  const [first] = failures;
  return failures.every(
    ({ error }) => error.code === first!.error.code && error.code !== 'ERR_REDIS_COMMAND',
  );
}

/** A pipeline that a Cluster refuses unsent fails with the reason instead of the client's sentence. */
async function execute(chain: ChainableCommander, batch: CommandBatch): Promise<RawReply[]> {
  try {
    return (await chain.exec()) ?? [];
  } catch (error) {
    if (/belong to the same slot/.test((error as Error).message)) assertSameSlot(batch.keys);
    throw error;
  }
}

/** Replies of MULTI, of each QUEUED command and of EXEC become the replies of the commands. */
function unwrapTransaction(raw: readonly RawReply[]): { list: RawReply[]; isDiscarded: boolean } | undefined {
  const [error, value] = raw.at(-1) ?? [null, []];
  const queued = raw.slice(1, -1);
  if (error) {
    const isDiscarded = error.message.startsWith('EXECABORT') && queued.some(([refusal]) => refusal);
    if (!isDiscarded) throw error;
    return { list: queued, isDiscarded };
  }
  if (value === null || value === undefined) return undefined;
  const list = (value as unknown[]).map((item): RawReply => (isNativeError(item) ? [item] : [null, item]));
  return { list, isDiscarded: false };
}

function keysOf(name: string, args: readonly unknown[]): (string | Buffer)[] {
  try {
    return new Command(name, args as ConstructorParameters<typeof Command>[1]).getKeys();
  } catch {
    return []; // a command the client does not know: the server will judge it
  }
}
