import { Injectable } from '@nestjs/common';
import { resolveDuration, type Duration } from '../common/index.js';
import type { QueueName } from './queue-name.js';
import type { QueueProducer } from './queue-producer.js';
import { INSPECT_QUEUE } from './queue.scripts.js';
import { QueueService } from './queue.service.js';
import { WAITING_FIELDS, waitingSince } from './waiting-since.js';
import { workersKey } from './worker-presence.js';

/** Bounds of {@link QueueHealthService.check}. */
export interface QueueHealthLimits {
  /** A job that waited longer makes its queue `degraded`. @default '60s' */
  warnAfter?: Duration;
  /** A job that waited longer makes its queue `down`. @default '5m' */
  failAfter?: Duration;
}

/** How a queue is. */
export interface QueueHealth {
  /** Name of the queue. */
  readonly queue: QueueName;
  /** `down`: nothing moves; `degraded`: slow, paused, or nobody works. */
  readonly status: 'up' | 'degraded' | 'down';
  /** Why it is not `up`. */
  readonly reason?: string;
  /** Whether Redis answered for it; where it did not, the numbers are 0. */
  readonly ready: boolean;
  /** Whether somebody paused it, for the whole fleet. */
  readonly paused: boolean;
  /** Jobs that could run now. */
  readonly waiting: number;
  /** Jobs that run now. */
  readonly active: number;
  /** Jobs whose time has not come. */
  readonly delayed: number;
  /** Dead jobs that are kept. */
  readonly failed: number;
  /** Jobs that failed for good in the last five minutes. */
  readonly failedLast5Min: number;
  /**
   * How long a job has waited since it could run, in milliseconds; 0 when none waits. Looked at are the oldest
   * without a priority, and the next and the last of those with one.
   */
  readonly oldestWaitingMs: number;
  /** Workers of the fleet that gave a sign of life in the last half minute. */
  readonly workers: number;
}

/** Answer of {@link QueueHealthService.check}. */
export interface QueuesHealth {
  /** The worst of all queues. */
  readonly status: QueueHealth['status'];
  /** Each registered queue. */
  readonly queues: readonly QueueHealth[];
}

const WINDOW_MS = 300_000;

/**
 * Says how the queues of this process are, for a health route: waiting jobs and their age, failures, live
 * workers. Two round trips per queue. Knows nothing of Terminus; see the recipe in the documentation.
 */
@Injectable()
export class QueueHealthService {
  constructor(private readonly queues: QueueService) {}

  /** Never rejects: a queue that cannot be asked is `down`. */
  async check(limits: QueueHealthLimits = {}): Promise<QueuesHealth> {
    const bounds = {
      warnMs: resolveDuration(limits.warnAfter ?? '60s', 'warnAfter'),
      failMs: resolveDuration(limits.failAfter ?? '5m', 'failAfter'),
    };
    const queues = await Promise.all(
      this.queues.names.map((name) => this.inspect(this.queues.producer(name), bounds)),
    );
    const worst = (['down', 'degraded', 'up'] as const).find((status) =>
      queues.some((queue) => queue.status === status),
    );
    return { status: worst ?? 'up', queues };
  }

  private async inspect(producer: QueueProducer, bounds: Bounds): Promise<QueueHealth> {
    try {
      return judge(producer.name, await read(producer), bounds);
    } catch {
      return { ...NOTHING, queue: producer.name, status: 'down', reason: 'Redis did not answer in time' };
    }
  }
}

type Facts = Omit<QueueHealth, 'queue' | 'status' | 'reason'>;
interface Bounds {
  warnMs: number;
  failMs: number;
}

const NOTHING: Facts = Object.freeze({
  ready: false,
  paused: false,
  waiting: 0,
  active: 0,
  delayed: 0,
  failed: 0,
  failedLast5Min: 0,
  oldestWaitingMs: 0,
  workers: 0,
});

async function read(producer: QueueProducer): Promise<Facts> {
  const { raw, name } = producer;
  const key = (kind: string): string => raw.toKey(kind);
  const reply = await producer.script(
    'queue.inspect',
    INSPECT_QUEUE,
    [
      key('wait'),
      key('prioritized'),
      key('active'),
      key('delayed'),
      key('failed'),
      key('meta'),
      workersKey(raw.opts.prefix!, name),
    ],
    [WINDOW_MS],
  );
  const [waiting, active, delayed, failed, failedLast5Min, paused, workers, nowMs] = reply.map(Number);
  return {
    ready: true,
    paused: paused === 1,
    waiting: waiting!,
    active: active!,
    delayed: delayed!,
    failed: failed!,
    failedLast5Min: failedLast5Min!,
    oldestWaitingMs: await oldestMs(producer, reply.slice(8), nowMs!),
    workers: workers!,
  };
}

/** A job that is gone by the time it is looked up waits no longer. */
async function oldestMs(producer: QueueProducer, ids: readonly unknown[], nowMs: number): Promise<number> {
  const keys = ids.filter((id) => typeof id === 'string').map((id) => producer.raw.toKey(id));
  if (keys.length === 0) return 0;
  const times = await producer.call('queue.inspect.age', (client) =>
    Promise.all(keys.map((key) => client.hmget(key, ...WAITING_FIELDS).then(waitingSince))),
  );
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...known));
}

function judge(queue: QueueName, facts: Facts, { warnMs, failMs }: Bounds): QueueHealth {
  const { oldestWaitingMs, paused, waiting, workers } = facts;
  const seconds = Math.round(oldestWaitingMs / 1000);
  const verdict = (status: QueueHealth['status'], reason?: string): QueueHealth => ({
    queue,
    status,
    ...(reason === undefined ? {} : { reason }),
    ...facts,
  });
  if (paused) return verdict('degraded', 'the queue is paused');
  if (waiting === 0) return verdict('up');
  if (oldestWaitingMs > failMs) return verdict('down', `a job has waited for ${seconds} s`);
  if (oldestWaitingMs > warnMs) return verdict('degraded', `a job has waited for ${seconds} s`);
  if (workers === 0) return verdict('degraded', 'jobs wait and no worker lives');
  return verdict('up');
}
