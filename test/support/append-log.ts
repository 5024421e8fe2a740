import type { RedisClient } from 'rednest';
import { eventually } from './eventually.js';

/**
 * Waits until the server has handed its append-only file to the system. With `everysec` it puts that off for up to 2 s
 * while a sync is under way, and acknowledges all the same; that ends with its process.
 *
 * @see https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
 */
export async function logIsWritten(redis: RedisClient): Promise<void> {
  await eventually('no sync of the log is under way', async () =>
    (await redis.info('persistence')).includes('aof_pending_bio_fsync:0\r\n'),
  );
}
