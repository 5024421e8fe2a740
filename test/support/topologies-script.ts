import { TerminusModule } from '@nestjs/terminus';
import { Test, type TestingModule } from '@nestjs/testing';
import { ConnectionRegistry, RedisModule } from 'rednest';
import { CacheModule, CacheService } from 'rednest/cache';
import { RedisHealthIndicator, RedisHealthModule } from 'rednest/health';
import { QueueModule, QueueService } from 'rednest/queue';
import { RateLimiter, RateLimitModule, type Policy } from 'rednest/rate-limit';
import { inject } from './app.js';
import { eventually } from './eventually.js';
import { JobCollector, JOBS, JobSender } from './jobs.js';
import { uniquePrefix } from './prefix.js';
import { TestLog } from './test-log.js';

/** An application with every capability, and its log. */
export interface TopologyApplication {
  readonly module: TestingModule;
  readonly log: TestLog;
}

/** Starts the application; where its server is comes from `env` alone. */
export async function startTopologyApplication(env: Record<string, string>): Promise<TopologyApplication> {
  const log = new TestLog();
  const module = await Test.createTestingModule({
    imports: [
      RedisModule.forRoot({ env: { REDIS_APP_NAME: uniquePrefix(), ...env }, logger: log }),
      CacheModule.forRoot(),
      // A first call on a busy machine may take longer than a limit should; that is not what is tested.
      RateLimitModule.forRoot({ timeout: '2s' }),
      QueueModule.forRoot(),
      QueueModule.forFeature([JOBS]),
      TerminusModule.forRoot({ logger: false }),
      RedisHealthModule.forRoot(),
    ],
    providers: [JobCollector, JobSender],
  }).compile();
  return { module: await module.init(), log };
}

/** What the script saw; the same on every topology. */
export interface TopologyOutcome {
  readonly read: string | null;
  /** What two `getOrSet` gave, and how often the loader ran. */
  readonly cached: readonly [unknown, unknown, loads: number];
  readonly limited: readonly boolean[];
  readonly jobs: readonly unknown[];
  readonly deduplicated: readonly boolean[];
  readonly health: Record<string, unknown>;
}

/** Uses every capability once, through its public face. */
export async function runTopologyScript({ module }: TopologyApplication): Promise<TopologyOutcome> {
  return {
    read: await writeAndRead(module),
    cached: await cacheTwice(module),
    limited: await takeTwo(module),
    deduplicated: await notifyTwice(module),
    jobs: await addJob(module),
    health: (await inject(module, RedisHealthIndicator).isHealthy()).redis,
  };
}

async function writeAndRead(module: TestingModule): Promise<string | null> {
  const registry = inject(module, ConnectionRegistry);
  const key = `${registry.configuration.keyPrefix}:script`;
  const executor = registry.executor();
  await executor.run('script.set', (redis) => redis.set(key, 'value', 'PX', 60_000));
  return executor.run('script.get', (redis) => redis.get(key));
}

async function cacheTwice(module: TestingModule): Promise<[unknown, unknown, number]> {
  const cache = inject(module, CacheService);
  let loads = 0;
  const load = (): number => (loads += 1);
  const first = await cache.getOrSet('answer', load, { timeout: '2s' });
  await eventually('the value is stored', async () => (await cache.get('answer')) !== undefined);
  return [first, await cache.getOrSet('answer', load, { timeout: '2s' }), loads];
}

/** One of the two is refused by the second policy. */
async function takeTwo(module: TestingModule): Promise<boolean[]> {
  const limiter = inject(module, RateLimiter);
  const policies: Policy[] = [
    { name: 'wide', limit: 10, window: '1m' },
    { name: 'one', limit: 1, window: '1m', onError: 'closed' },
  ];
  const first = await limiter.consume(['tenant', 'acme'], policies);
  const second = await limiter.consume(['tenant', 'acme'], policies);
  return [first.allowed, second.allowed];
}

async function notifyTwice(module: TestingModule): Promise<boolean[]> {
  const queues = inject(module, QueueService);
  const same = { tenantId: 'acme', type: 'invoice', dedupeKey: '1' };
  const first = await queues.notifyOnce(JOBS, 'once', 'once', same);
  const second = await queues.notifyOnce(JOBS, 'once', 'once', same);
  return [first.deduplicated, second.deduplicated];
}

async function addJob(module: TestingModule): Promise<unknown[]> {
  const jobs = inject(module, JobCollector);
  await inject(module, JobSender).queue.add('job', 'added');
  await eventually('both jobs have run', () => jobs.done.length >= 2);
  return jobs.done.map(String).sort();
}
