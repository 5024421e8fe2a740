// What the sections of queue-figures.ts share: two queues, an application with both, and how differences are told.
import { NestFactory } from '@nestjs/core';
import { RedisModule } from '../../dist/index.js';
import { defineQueue, OnJob, QueueModule, QueueProcessor } from '../../dist/queue/index.js';
import { spread } from './statistics.js';

export const LANES = 100;
/** Rounds that do not count: the compiler is at work. */
export const WARM_UP = 3;
export const DATA = { to: 'ada@example.org', template: 'welcome', locale: 'en', ids: [1, 2, 3] };

/** A schema that lets everything pass: what a check costs is the business of its library. */
const anything = {
  '~standard': { version: 1 as const, vendor: 'bench', validate: (value: unknown) => ({ value }) },
};
const jobs = { work: { data: anything, result: anything } };
export const Plain = defineQueue('bench__plain', { jobs });
export const Fair = defineQueue('bench__fair', { jobs, fair: true });

const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
class Root {}

/** Runs jobs of both queues; what a job does is set from outside. */
export class Runner {
  work: (tenantId: string | null, data: unknown) => unknown = () => undefined;
}
const descriptor: PropertyDescriptor = {
  value(this: Runner, data: unknown, context: { tenantId: string | null }) {
    return this.work(context.tenantId, data);
  },
};
Object.defineProperty(Runner.prototype, 'handle', descriptor);
OnJob('work')(Runner.prototype, 'handle', descriptor);
QueueProcessor([Plain, Fair] as never, { concurrency: 50 })(Runner as never);

export async function start(
  url: string,
  role: 'producer' | 'worker' | 'both',
  runner?: Runner,
  concurrency = 50,
) {
  class Configured extends Runner {}
  QueueProcessor([Plain, Fair] as never, { concurrency })(Configured as never);
  const root = {
    module: Root,
    imports: [
      RedisModule.forRoot({ app: 'bench', env: {}, url, connections: { floor: { url } }, logger: silent }),
      QueueModule.forRoot({ role, sweepInterval: null }),
      QueueModule.forFeature([Plain, Fair]),
    ],
    providers: runner
      ? [
          {
            provide: Configured,
            useFactory: () => Object.setPrototypeOf(runner, Configured.prototype) as Runner,
          },
        ]
      : [],
  };
  return NestFactory.createApplicationContext(root, { logger: false });
}

export async function lanes(count: number, run: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      while (next < count) await run(next++);
    }),
  );
}

export interface Figures {
  clientUs: number[];
  serverUs: number[];
  perSecond: number[];
  roundTrips: number[];
}

export const figures = (): Figures => ({ clientUs: [], serverUs: [], perSecond: [], roundTrips: [] });

/** Median over rounds of the difference within a round, and its standard error. */
export function difference(a: readonly number[], b: readonly number[]): string {
  const { median, p25, p75 } = spread(a.map((value, index) => value - b[index]!));
  // For a bell curve, 1.349 standard deviations lie between the quartiles; a median errs 1.253 times a mean.
  const error = ((p75 - p25) / 1.349) * (1.253 / Math.sqrt(a.length));
  return `${median.toFixed(2)} (+-${error.toFixed(2)})`;
}
export function ratio(a: readonly number[], b: readonly number[]): string {
  return spread(a.map((value, index) => value / b[index]!)).median.toFixed(3);
}
