import { isRednestError } from '../common/index.js';
import type { RedisClient, RedisExecutor } from '../redis/index.js';
import type { QueueName } from './queue-name.js';

/** An event of BullMQ, as any process of the fleet caused it. */
export interface QueueEvent {
  /** Queue it happened in. */
  readonly queue: QueueName;
  /** `waiting`, `active`, `completed`, `failed`, `delayed`, `stalled`, `progress`, ... */
  readonly event: string;
  /** Absent for events of the queue itself. */
  readonly jobId?: string;
  /** Everything else the event says, as text: `returnvalue` and `data` are JSON. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Told about the events of a queue, in order. */
export type QueueEventListener = (event: QueueEvent) => void;

/** Constructor arguments of {@link QueueEventReader}. */
export interface QueueEventReaderInit {
  executor: RedisExecutor;
  /** Key of the event stream of a queue. */
  streamKey: (queue: QueueName) => string;
  onError: (error: Error) => void;
}

/** Pause between two reads that found nothing more, in milliseconds. */
const PAUSE_MS = 50;

/** Events per queue and read. */
const COUNT = 1000;

interface Followed {
  readonly queue: QueueName;
  readonly key: string;
  readonly listeners: Set<QueueEventListener>;
  /** Id of the last event seen; unknown until the end of the stream was looked up, once. */
  last: string | undefined;
}

/**
 * Follows the event streams of all queues that anybody listens to, with one command on a connection that
 * exists anyway. It looks every few milliseconds instead of blocking: a blocked connection could carry
 * nothing else. Where it starts is looked up once, so no event falls between two reads. Nothing is read
 * while nobody listens.
 */
export class QueueEventReader {
  private readonly followed = new Map<QueueName, Followed>();
  private loop: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private stopped = false;

  constructor(private readonly init: QueueEventReaderInit) {}

  /**
   * Listens to a queue. Resolves when every event from now on will be seen.
   *
   * @returns a function that ends it
   * @throws {RedisUnavailableError} when the end of the stream could not be looked up
   */
  async listen(queue: QueueName, listener: QueueEventListener): Promise<() => void> {
    let entry = this.followed.get(queue);
    if (!entry) {
      entry = { queue, key: this.init.streamKey(queue), listeners: new Set(), last: undefined };
      this.followed.set(queue, entry);
    }
    const mine = entry;
    mine.listeners.add(listener);
    const end = (): void => {
      mine.listeners.delete(listener);
      const isFollowed = this.followed.get(queue) === mine;
      if (isFollowed && mine.listeners.size === 0) this.followed.delete(queue);
    };
    try {
      if (mine.last === undefined) await this.findEnd(mine);
    } catch (error) {
      end();
      throw error;
    }
    this.loop ??= this.follow();
    return end;
  }

  /** Ends all listening; resolves when nothing is read any more. */
  async close(): Promise<void> {
    this.stopped = true;
    this.followed.clear();
    this.wake?.();
    await this.loop;
  }

  private async findEnd(entry: Followed): Promise<void> {
    const found = await this.init.executor.run(
      'queue.events.end',
      (client) => client.xrevrange(entry.key, '+', '-', 'COUNT', 1),
      { idempotent: true },
    );
    entry.last ??= found[0]?.[0] ?? '0-0';
  }

  private async follow(): Promise<void> {
    while (!this.stopped && this.followed.size > 0) {
      let found = 0;
      try {
        found = await this.read();
      } catch (error) {
        if (!isRednestError(error)) this.init.onError(error as Error);
      }
      if (found === 0) await this.pause();
    }
    this.loop = undefined;
    // Somebody may have come while the last read was on its way.
    if (!this.stopped && this.followed.size > 0) this.loop = this.follow();
  }

  /** One command for all queues; in a Cluster one each, as their keys lie in different slots. */
  private async read(): Promise<number> {
    const entries = [...this.followed.values()].filter(({ last }) => last !== undefined);
    if (entries.length === 0) return 0;
    const replies = await this.init.executor.run(
      'queue.events.read',
      (client) =>
        client.isCluster
          ? Promise.all(entries.map((entry) => xread(client, [entry]))).then((all) => all.flat())
          : xread(client, entries),
      { idempotent: true },
    );
    let found = 0;
    for (const [key, events] of replies) {
      const entry = entries.find((candidate) => candidate.key === key);
      if (!entry) continue;
      found += events.length;
      for (const [id, fields] of events) {
        entry.last = id;
        this.tell(entry, toEvent(entry.queue, fields));
      }
    }
    return found;
  }

  /** A listener that throws must not keep the others from hearing. */
  private tell(entry: Followed, event: QueueEvent): void {
    for (const listener of entry.listeners) {
      try {
        listener(event);
      } catch (error) {
        this.init.onError(error as Error);
      }
    }
  }

  private async pause(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, PAUSE_MS);
    });
    clearTimeout(timer);
  }
}

type StreamReply = [key: string, events: [id: string, fields: string[]][]][];

async function xread(client: RedisClient, entries: readonly Followed[]): Promise<StreamReply> {
  const keys = entries.map(({ key }) => key);
  const ids = entries.map(({ last }) => last!);
  return (await client.xread('COUNT', COUNT, 'STREAMS', ...keys, ...ids)) ?? [];
}

function toEvent(queue: QueueName, pairs: readonly string[]): QueueEvent {
  const fields: Record<string, string> = {};
  for (let index = 0; index + 1 < pairs.length; index += 2) fields[pairs[index]!] = pairs[index + 1]!;
  const { event = '', jobId, ...rest } = fields;
  return { queue, event, ...(jobId === undefined ? {} : { jobId }), fields: rest };
}
