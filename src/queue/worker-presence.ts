import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { RedisExecutor } from '../redis/index.js';
import type { QueueName } from './queue-name.js';
import { BEAT_WORKER } from './queue.scripts.js';

/** How often a worker says that it lives, and how long it is believed, in milliseconds. */
const BEAT_MS = 10_000;
const BELIEVED_MS = 3 * BEAT_MS;

/** Key of the workers of a queue, in the slot of the queue. */
export function workersKey(prefix: string, queue: QueueName): string {
  return `${prefix}:${queue}:workers`;
}

/**
 * Tells the fleet which queues this process works for. BullMQ finds workers by the names of their
 * connections, which asks for a command that an ACL may refuse.
 */
export class WorkerPresence {
  private readonly worker = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  private readonly keys = new Set<string>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly executor: RedisExecutor) {}

  /** Announces a worker now and every few seconds. */
  announce(key: string): void {
    this.keys.add(key);
    void this.beat(key, BELIEVED_MS);
    this.timer ??= setInterval(() => void this.beatAll(BELIEVED_MS), BEAT_MS);
    this.timer.unref();
  }

  /** Takes every announcement back; never rejects. */
  async withdraw(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    await this.beatAll(0);
    this.keys.clear();
  }

  private async beatAll(ttlMs: number): Promise<void> {
    await Promise.all([...this.keys].map((key) => this.beat(key, ttlMs)));
  }

  /** A beat that is missed is made up by the next one. */
  private beat(key: string, ttlMs: number): Promise<void> {
    return this.executor
      .script('queue.worker.beat', BEAT_WORKER, [key], [this.worker, ttlMs], { deadlineMs: 1000 })
      .then(
        () => undefined,
        () => undefined,
      );
  }
}
