/** The same fault is written again after this long, in milliseconds, with the number of its repeats. */
const AGAIN_AFTER_MS = 30_000;

/**
 * Writes a fault once and counts its repeats: a worker that cannot work tries again and again, and
 * would fill the log.
 */
export class RepeatLog {
  private readonly faults = new Map<string, { writtenMs: number; repeats: number }>();

  constructor(private readonly write: (line: string) => void) {}

  /** Writes the line, or counts it. */
  report(line: string): void {
    const nowMs = performance.now();
    const fault = this.faults.get(line);
    if (fault && nowMs - fault.writtenMs < AGAIN_AFTER_MS) {
      fault.repeats += 1;
      return;
    }
    // Faults differ in the ids they name; what is forgotten here is only a count.
    if (this.faults.size >= 100) this.faults.clear();
    this.faults.set(line, { writtenMs: nowMs, repeats: 0 });
    this.write(fault && fault.repeats > 0 ? `${line} (${fault.repeats} repeats not shown)` : line);
  }
}
