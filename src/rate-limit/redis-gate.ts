import { systemClock, type Clock } from '../common/index.js';
import {
  RedisTimeoutError,
  RedisUnavailableError,
  type RedisCallError,
  type RedisExecutor,
} from '../redis/index.js';
import type { AvailabilityLog } from './availability-log.js';

const FIRST_PROBE_MS = 100;
const LONGEST_PROBE_MS = 1000;

/**
 * Whether it is worth asking Redis. The first call that gets no answer costs its deadline; from then on
 * nobody waits until a probe in the background has been answered.
 *
 * @internal
 */
export class RedisGate {
  private lastError: RedisCallError | undefined;
  private awaySinceMs = 0;
  private nextProbeMs = 0;
  private probeWaitMs = FIRST_PROBE_MS;
  private probing = false;

  constructor(
    private readonly executor: RedisExecutor,
    private readonly log: AvailabilityLog,
    private readonly deadlineMs: number,
    private readonly clock: Clock = systemClock,
  ) {}

  /** Why Redis is not to be asked now; `undefined` when it is. */
  get closedBy(): RedisCallError | undefined {
    if (this.lastError && !this.probing && this.clock.monotonicMs() >= this.nextProbeMs) this.probe();
    return this.lastError;
  }

  /** Milliseconds since Redis has not been asked; 0 while it is. Looks for it, as a call would. */
  get awayForMs(): number {
    return this.closedBy ? this.clock.monotonicMs() - this.awaySinceMs : 0;
  }

  /** Redis answered a call. */
  succeeded(): void {
    this.log.succeeded();
  }

  /** A call failed. An answer that was an error, or one that this process was too busy to read, closes nothing. */
  failed(error: RedisCallError): void {
    this.log.failed(error.code);
    if (this.lastError || !isSilence(error)) return;
    this.lastError = error;
    this.awaySinceMs = this.clock.monotonicMs();
    this.probeWaitMs = FIRST_PROBE_MS;
    this.probe();
  }

  /** A decision was made without asking. */
  skipped(): void {
    if (this.lastError) this.log.failed(this.lastError.code);
  }

  private probe(): void {
    this.probing = true;
    // A short deadline would miss a server that has become slow; nobody waits for this one.
    const deadlineMs = Math.max(this.deadlineMs, 500);
    this.executor
      .run('rate-limit.probe', (client) => client.ping(), { deadlineMs })
      .then(
        () => this.finishProbe(true),
        (error: unknown) => this.finishProbe(isAnswer(error)),
      );
  }

  private finishProbe(answered: boolean): void {
    this.probing = false;
    if (answered) {
      this.lastError = undefined;
      return;
    }
    this.nextProbeMs = this.clock.monotonicMs() + this.probeWaitMs;
    this.probeWaitMs = Math.min(this.probeWaitMs * 2, LONGEST_PROBE_MS);
  }
}

function isSilence(error: RedisCallError): boolean {
  if (error instanceof RedisTimeoutError) return error.stalledMs === 0;
  return error instanceof RedisUnavailableError;
}

/** A server that refuses PING is there. */
function isAnswer(error: unknown): boolean {
  return !(error instanceof RedisTimeoutError || error instanceof RedisUnavailableError);
}
