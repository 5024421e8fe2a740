import { Cluster } from 'ioredis';
import { ConfigurationError, resolveWholeNumber } from '../common/index.js';
import type { RedisClient } from './client-factory.js';
import type { RedisExecutor } from './executor.js';
import { assertPattern, scanPages, type ScanOptions } from './key-scan.js';
import { groupBySlot } from './slots.js';

/** How keys are removed by pattern. */
export interface UnlinkOptions extends Pick<ScanOptions, 'deadlineMs' | 'signal' | 'type'> {
  /** Keys per UNLINK, and buckets per SCAN. 1 to 10,000. @default 500 */
  batch?: number;
  /** Stop after this many keys. @default no limit */
  limit?: number;
  /** Accept a pattern that matches every key. @default false */
  allowAll?: boolean;
}

/** Removes the keys a pattern matches, page by page; returns how many the server removed. */
export async function unlinkByPattern(
  executor: RedisExecutor,
  pattern: string,
  options: UnlinkOptions,
): Promise<number> {
  const { batch = 500, limit = Infinity, allowAll = false, ...call } = options;
  checkPattern(pattern, allowAll);
  resolveWholeNumber(batch, 'batch', { max: 10_000 });
  if (limit !== Infinity) resolveWholeNumber(limit, 'limit');
  let left = limit;
  let removed = 0;
  for await (const page of scanPages(executor, OPERATION, { ...call, match: pattern, count: batch })) {
    for (let at = 0; at < page.length && left > 0; at += batch) {
      const keys = page.slice(at, at + Math.min(batch, left));
      left -= keys.length;
      removed += await executor.run(OPERATION, (client) => unlink(client, keys), {
        ...call,
        idempotent: true,
      });
    }
    if (left <= 0) break;
  }
  return removed;
}

const OPERATION = 'redis.unlinkByPattern';

/** In a Cluster one command per slot, all on their way together. */
async function unlink(client: RedisClient, keys: readonly string[]): Promise<number> {
  if (client.options.keyPrefix) {
    throw new Error(
      'unlinkByPattern does not work with the client option keyPrefix; put the prefix into the pattern',
    );
  }
  if (!(client instanceof Cluster)) return client.unlink(...keys);
  const counts = await Promise.all([...groupBySlot(keys).values()].map((group) => client.unlink(...group)));
  return counts.reduce((sum, count) => sum + count, 0);
}

function checkPattern(pattern: string, allowAll: boolean): void {
  if (assertPattern(pattern).replace(/[*?]/g, '') !== '' || allowAll) return;
  throw new ConfigurationError(
    'unlinkByPattern got a pattern of wild cards only, which matches every key; name a prefix, or pass allowAll: true',
  );
}
