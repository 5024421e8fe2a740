/** Lines that may be written in a burst: a start, one outage with its recovery, and a little more. */
const BURST = 8;

/** A further line becomes available after this long, in milliseconds: four a minute. */
export const LINE_EVERY_MS = 15_000;

/** Bounds how much one connection may write, however often it comes and goes. */
export class LineBudget {
  private tokens = BURST;
  private updatedMs = performance.now();

  /** Takes a line; `false` when none is left. */
  take(): boolean {
    const nowMs = performance.now();
    this.tokens = Math.min(BURST, this.tokens + (nowMs - this.updatedMs) / LINE_EVERY_MS);
    this.updatedMs = nowMs;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}
