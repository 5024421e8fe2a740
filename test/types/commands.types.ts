import { ConnectionRegistry, RedisOperations, type BatchResults, type CommandQueue } from 'rednest';
import type { Redis } from 'ioredis';

declare const operations: RedisOperations;
declare const registry: ConnectionRegistry;

/** Compiles only when both types are the same. */
type Same<A, B> = [A, B] extends [B, A] ? true : never;
function same<A, B>(_proof: Same<A, B>): void {}

export async function pipelines(): Promise<void> {
  const replies = await operations.pipeline('op', (queue) => [
    queue.get('a'),
    queue.incr('b'),
    queue.set('c', '1', 'PX', 100),
    queue.hgetall('d').then((hash) => Object.keys(hash).length),
  ]);
  same<typeof replies, [string | null, number, 'OK', number]>(true);

  const none = await operations.multi('op', () => []);
  same<typeof none, []>(true);

  const list = await operations.pipeline('op', (queue) => ['a', 'b'].map((key) => queue.get(key)));
  same<typeof list, (string | null)[]>(true);

  // @ts-expect-error a builder must not be asynchronous
  await operations.pipeline('op', async (queue) => [queue.get('a')]);
  // @ts-expect-error a batch cannot hold EXEC
  await operations.multi('op', (queue) => [queue.exec()]);
  // @ts-expect-error nor subscribe its connection
  await operations.multi('op', (queue) => [queue.subscribe('a')]);
  // @ts-expect-error nor watch
  await operations.pipeline('op', (queue) => [queue.watch('a')]);
  await registry
    .operations('cache')
    .pipeline('op', (queue) => [queue.ping()], { deadlineMs: 50, idempotent: true });
}

export async function optimistic(): Promise<void> {
  const written = await operations.optimistic('op', ['a'], async (redis) => {
    const value = await redis.get('a');
    return (queue: CommandQueue) => [queue.set('a', `${value}!`), queue.incr('b')] as const;
  });
  same<typeof written, ['OK', number]>(true);

  const perhaps = await operations.optimistic('op', ['a'], async (redis: Redis) => {
    const value = await redis.get('a');
    return value === null ? undefined : (queue: CommandQueue) => [queue.del('a')] as const;
  });
  same<typeof perhaps, [number] | undefined>(true);

  const inferred = await operations.optimistic('op', ['a'], async () => (queue) => [queue.del('a')]);
  same<typeof inferred, number[]>(true);

  const nothing = await operations.optimistic('op', ['a'], async () => undefined);
  same<typeof nothing, undefined>(true);

  // @ts-expect-error the plan must be asynchronous
  await operations.optimistic('op', ['a'], () => undefined);
}

export async function scans(): Promise<void> {
  for await (const key of operations.scan({ match: 'a*', count: 100, type: 'hash' }))
    same<typeof key, string>(true);
  const removed = await operations.unlinkByPattern('a*', { batch: 100, limit: 5 });
  same<typeof removed, number>(true);
  // @ts-expect-error the pattern is not optional
  await operations.unlinkByPattern();
}

same<BatchResults<readonly [Promise<'OK'>, number]>, ['OK', number]>(true);
