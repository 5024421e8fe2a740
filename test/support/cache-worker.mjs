// One process of a fleet: an application with a cache, told over IPC what to do. Runs the built package.
import { NestFactory } from '@nestjs/core';
import { CacheModule, CacheService } from '../../dist/cache/index.js';
import { REDIS, RedisModule } from '../../dist/index.js';

/** @typedef {{ id: number, method: string, args: any[] }} Command */

const { url, nodes, keyPrefix, cache: options } = JSON.parse(/** @type {string} */ (process.argv[2]));
const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };

class FleetModule {}

const app = await NestFactory.createApplicationContext(
  {
    module: FleetModule,
    imports: [
      RedisModule.forRoot({
        ...(nodes ? { cluster: { nodes } } : { url }),
        keyPrefix,
        env: {},
        logger: silent,
      }),
      CacheModule.forRoot(options),
    ],
  },
  { logger: false },
);
const cache = app.get(CacheService);
const redis = app.get(REDIS);
const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));
// The one clock that the processes of a machine share. Each takes its time origin from two clocks, one after the other:
// one that had to pause in between was seen 12 ms off.
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

/** Counts loads of the whole fleet on the server, and answers a value that no other load answers. */
async function load(/** @type {string} */ key, /** @type {number} */ loadMs) {
  const number = await redis.incr(`${keyPrefix}:loads:{${key}}`);
  process.send?.({ event: 'loading', key, number });
  await pause(loadMs);
  return { number, by: process.pid, endedMs: nowMs() };
}

/** @type {Record<string, (...args: any[]) => unknown>} */
const methods = {
  /** Many callers at once: the different values they got, and how long after the load the last one had it. */
  async stampede(key, callers, loadMs, callOptions) {
    const numbers = new Set();
    const delays = await Promise.all(
      Array.from({ length: callers }, async () => {
        const value = await cache.getOrSet(key, () => load(key, loadMs), callOptions);
        numbers.add(value.number);
        return { ms: nowMs() - value.endedMs, isOwn: value.by === process.pid };
      }),
    );
    const [first] = delays;
    return { numbers: [...numbers], delayMs: first?.ms, isOwn: first?.isOwn };
  },
  get: (key, callOptions) => cache.get(key, callOptions),
  peek: (key) => cache.peek(key),
  set: (key, value, callOptions) => cache.set(key, value, callOptions),
  delete: (...keys) => cache.delete(...keys),
  expire: (...keys) => cache.expire(...keys),
  deleteByTag: (...tags) => cache.deleteByTag(...tags),
  clear: () => cache.clear(),
  getOrSet: (key, value, loadMs = 0, callOptions = {}) =>
    cache.getOrSet(
      key,
      async () => {
        process.send?.({ event: 'loading', key });
        await pause(loadMs);
        return value;
      },
      callOptions,
    ),
  stats: () => cache.stats(),
};

async function answer(/** @type {Command} */ { id, method, args }) {
  try {
    process.send?.({ id, value: await methods[method]?.(...args) });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
}

process.on('message', (/** @type {Command} */ command) => void answer(command));
process.on('disconnect', () => process.exit(0));
process.send?.({ event: 'ready' });
