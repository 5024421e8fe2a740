import { RedisCallError, type RedisExecutor } from '../redis/index.js';
import { EXHAUSTED, NO_TURN, stepOf, TAG_GUARD } from './fair-tags.js';
import { openEnvelope } from './job-envelope.js';
import type { FairOptions } from './queue-contract.js';
import { TAG_FAIR } from './queue.scripts.js';

/** Looks for jobs without a turn are at least this far apart, in milliseconds. */
const PAUSE_MS = 50;

/** Jobs that get their turn in one go. */
const PAGE = 100;

/** Scores are priority * 2^32 + order of arrival. */
const FIRST_WITHOUT = NO_TURN * 2 ** 32;

/** Constructor arguments of {@link FairTurns}. */
export interface FairTurnsInit {
  executor: RedisExecutor;
  fair: FairOptions;
  /** Full key of something of the queue. */
  toKey: (type: string) => string;
  onError: (error: Error) => void;
}

/**
 * Gives a turn to the jobs that come into the line of a fair queue by BullMQ's own hand: delayed ones that are
 * due, put off ones that come back, scheduled ones, those of flows. They come in at its end, where they take
 * nothing from anybody, and stay there for a moment only while workers are busy: every start of a job looks for them.
 */
export class FairTurns {
  private nextMs = 0;
  private looking = false;

  constructor(private readonly init: FairTurnsInit) {}

  /** Looks for jobs without a turn, unless somebody just did. Returns at once; a failed look is made up by the next. */
  look(): void {
    if (this.looking || performance.now() < this.nextMs) return;
    this.looking = true;
    this.giveAll()
      .catch((error: unknown) => {
        // A server that is away is everybody's business, and told elsewhere.
        if (!(error instanceof RedisCallError)) this.init.onError(error as Error);
      })
      .finally(() => {
        this.looking = false;
        this.nextMs = performance.now() + PAUSE_MS;
      });
  }

  private async giveAll(): Promise<void> {
    let given: number;
    do given = await this.givePage();
    while (given === PAGE);
  }

  private async givePage(): Promise<number> {
    const { executor, toKey } = this.init;
    const jobIds = await executor.run(
      'queue.fair.look',
      (client) => client.zrangebyscore(toKey('prioritized'), FIRST_WITHOUT, '+inf', 'LIMIT', 0, PAGE),
      { idempotent: true },
    );
    // One after another as they came, though all are sent at once.
    const tags = await Promise.all(jobIds.map((jobId) => this.give(jobId)));
    return tags.filter((tag) => tag !== EXHAUSTED).length;
  }

  private async give(jobId: string): Promise<number> {
    const { executor, toKey, fair } = this.init;
    const options = { idempotent: true };
    const data = await executor.run(
      'queue.fair.read',
      (client) => client.hget(toKey(jobId), 'data'),
      options,
    );
    const tenantId = data === null ? null : openEnvelope(JSON.parse(data)).tenantId;
    const step = tenantId === null ? 1 : stepOf(fair, tenantId);
    const keys = [toKey('prioritized'), toKey('fair'), toKey(jobId)] as const;
    const args = [jobId, tenantId ?? '', step, NO_TURN, TAG_GUARD] as const;
    return executor.script('queue.fair.turn', TAG_FAIR, keys, args, options);
  }
}
