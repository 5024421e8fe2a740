import { systemClock, type Clock } from '../common/index.js';

/** Where {@link AvailabilityLog} writes. */
export interface AvailabilityLogger {
  log(message: string): void;
  warn(message: string): void;
}

/** Time without a failure after which Redis counts as back, so that single slow replies do not flap. */
const QUIET_MS = 1000;

/** Writes one line when decisions start to fail and one when they work again. */
export class AvailabilityLog {
  private lastFailureMs: number | undefined;
  private failures = 0;

  constructor(
    private readonly logger: AvailabilityLogger,
    private readonly clock: Clock = systemClock,
  ) {}

  /** A decision failed with this error code. */
  failed(code: string): void {
    if (this.lastFailureMs === undefined) {
      this.logger.warn(`Redis does not decide about rate limits (${code}); onError applies until it does`);
    }
    this.failures += 1;
    this.lastFailureMs = this.clock.monotonicMs();
  }

  /** Redis decided. */
  succeeded(): void {
    if (this.lastFailureMs === undefined) return;
    if (this.clock.monotonicMs() - this.lastFailureMs < QUIET_MS) return;
    this.logger.log(`Redis decides about rate limits again; ${this.failures} decisions were made without it`);
    this.lastFailureMs = undefined;
    this.failures = 0;
  }
}
