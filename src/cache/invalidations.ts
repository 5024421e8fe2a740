import type { Bucket } from './cache-key.js';
import type { InvalidationTarget } from './remote-tier.js';

/** Invalidations of a bucket that leave together: what is written per signal, by signal. */
export interface InvalidationBatch {
  readonly bucket: Bucket;
  readonly mode: 'delete' | 'expire';
  readonly timeoutMs: number;
  /** Field of the state by signal. */
  readonly fields: Map<string, string>;
}

/** One that has not left yet. */
interface OpenBatch extends InvalidationBatch {
  readonly sent: Promise<unknown>;
  leave(): void;
}

/** Signals of one script; more would keep others waiting. */
const MAX_SIGNALS = 256;

/**
 * Sends the invalidations of one bucket that are asked for in one tick as one script. Whatever else is asked of
 * the bucket meanwhile leaves after them, so that the order of the calls is the order at the server.
 */
export class Invalidations {
  constructor(private readonly send: (batch: InvalidationBatch) => Promise<unknown>) {}

  /** Adds one. Resolves, or rejects, with the script that carries it. */
  add(
    bucket: Bucket,
    target: InvalidationTarget,
    mode: 'delete' | 'expire',
    timeoutMs: number,
  ): Promise<unknown> {
    const join = (signal: string, field: string): Promise<unknown> => {
      const batch = this.batchFor(bucket, mode, timeoutMs);
      batch.fields.set(signal, field);
      if (batch.fields.size >= MAX_SIGNALS) batch.leave();
      return batch.sent;
    };
    if (target === 'all') return join(bucket.all, '*');
    return Promise.all(new Set(target.map((tag) => join(bucket.tag(tag), `t:${tag}`))));
  }

  private batchFor(bucket: Bucket, mode: 'delete' | 'expire', timeoutMs: number): OpenBatch {
    const open = bucket.unsent as OpenBatch | undefined;
    if (open?.mode === mode && open.timeoutMs === timeoutMs) return open;
    open?.leave();
    return this.open(bucket, mode, timeoutMs);
  }

  private open(bucket: Bucket, mode: 'delete' | 'expire', timeoutMs: number): OpenBatch {
    let leave!: () => void;
    const sent = new Promise<unknown>((resolve) => {
      leave = () => {
        if (bucket.unsent !== batch) return;
        bucket.unsent = undefined;
        resolve(this.send(batch));
      };
    });
    const batch: OpenBatch = { bucket, mode, timeoutMs, fields: new Map(), sent, leave };
    bucket.unsent = batch;
    process.nextTick(leave);
    return batch;
  }
}
