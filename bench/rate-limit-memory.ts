// Bytes of server memory per identity, by algorithm. Printed before the rounds of the benchmark.
import { Redis } from 'ioredis';
import type { RedisClient } from '../dist/index.js';
import type { Policy, RateLimiter } from '../dist/rate-limit/index.js';

/** Enough that the tables of the server weigh little; a power of two would catch them half empty. */
const IDENTITIES = 60_000;
const LANES = 64;

/** What is measured with. */
export interface MemoryInit {
  readonly limiter: RateLimiter;
  readonly raw: RedisClient;
  readonly url: string;
}

/** An IPv4 address as identity, a limit of 100 per minute. */
const LIMITS: readonly (readonly [name: string, policy: Omit<Policy, 'name' | 'limit' | 'window'>])[] = [
  ['gcra', { algorithm: 'gcra' }],
  ['sliding', { algorithm: 'sliding' }],
  ['fixed', { algorithm: 'fixed' }],
];

/** Measures every algorithm on the benchmark's own server and prints one line each. */
export async function reportMemory({ limiter, raw, url }: MemoryInit): Promise<void> {
  const admin = new Redis(url, { connectionName: 'bench:memory' });
  admin.on('error', () => undefined);
  try {
    const id = (index: number): string => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
    for (const [name, template] of LIMITS) {
      const policy: Policy = { name: 'api', limit: 100, window: '1h', ...template };
      const bytes = await grown(admin, (index) => limiter.consume(id(index), policy));
      print(`bytes per identity, ${name}`, bytes);
    }
    const floor = await grown(admin, (index) =>
      raw.set(`bench:rl:{${id(index)}}:i:api`, index % 100, 'PX', 60_000),
    );
    print('bytes per identity, SET of a small number under a key of the same length', floor);
  } finally {
    admin.disconnect();
  }
}

function print(what: string, bytes: number): void {
  process.stderr.write(`  ${what}: ${bytes.toFixed(0)}\n`);
}

async function grown(admin: Redis, write: (index: number) => Promise<unknown>): Promise<number> {
  await admin.flushall('SYNC');
  const before = await used(admin);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < IDENTITIES) await write(next++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const after = await used(admin);
  await admin.flushall('SYNC');
  return (after - before) / IDENTITIES;
}

async function used(admin: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await admin.info('memory'))?.[1] ?? NaN);
}
