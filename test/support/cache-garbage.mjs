// What hits in memory, reads and writes leave in the old generation after a burst, in bytes per call. Runs the built package.
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NestFactory } from '@nestjs/core';
import { CacheModule, CacheService } from '../../dist/cache/index.js';
import { RedisModule } from '../../dist/index.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
const { url, keyPrefix } = JSON.parse(/** @type {string} */ (process.env['PLACE']));
const KEYS = 4_000;
const LANES = 64;
const keys = Array.from({ length: KEYS }, (_, index) => `key-${index}`);
const value = { text: 'x'.repeat(1_000) };
const timeout = '30s';

class GarbageModule {}

const app = await NestFactory.createApplicationContext(
  {
    module: GarbageModule,
    imports: [RedisModule.forRoot({ url, keyPrefix, env: {} }), CacheModule.forRoot({ timeout })],
  },
  { logger: false },
);
const cache = app.get(CacheService);

/** All on their way at once: collections of the young see them survive. */
async function burst() {
  for (let time = 0; time < 5; time += 1) {
    await Promise.all(keys.map((key) => cache.set(key, value)));
    await Promise.all(keys.map((key) => cache.get(key, { memory: false })));
    await Promise.all(keys.map((key) => cache.getOrSet(key, () => value, { memory: false })));
  }
}

const oldBytes = () =>
  getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? NaN;

/** Makes calls, {@link LANES} at a time, and says what each left; once before, for the compiler. */
async function left(/** @type {(key: string) => Promise<unknown>} */ call, /** @type {number} */ count) {
  let bytes = NaN;
  for (let time = 0; time < 2; time += 1) {
    collect();
    const before = oldBytes();
    let next = 0;
    const lane = async () => {
      while (next < count) await call(/** @type {string} */ (keys[next++ % KEYS]));
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    bytes = (oldBytes() - before) / count;
  }
  return Math.round(bytes);
}

await burst();
const perWrite = await left((key) => cache.set(key, value), 8_000);
const perRead = await left((key) => cache.get(key, { memory: false }), 8_000);
while (keys.some((key) => cache.peek(key) === undefined))
  await Promise.all(keys.map((key) => cache.get(key)));
const perHit = await left((key) => cache.get(key), 200_000);
process.stdout.write(`result ${JSON.stringify({ perHit, perRead, perWrite })}\n`);
await app.close();
