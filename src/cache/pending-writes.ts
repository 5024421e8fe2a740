import type { DrainParticipant } from '../redis/index.js';

/** Writes nobody waits for; shutdown does, so that a value just loaded is not lost. */
export class PendingWrites implements DrainParticipant {
  private readonly running = new Set<Promise<unknown>>();

  constructor(readonly name: string) {}

  /** Writes not confirmed yet. */
  get size(): number {
    return this.running.size;
  }

  /** Adds a write; it must not reject. */
  track(write: Promise<unknown>): void {
    this.running.add(write);
    void write.then(() => this.running.delete(write));
  }

  /** Resolves when no write is left. The cache stays usable: handlers that drain may need it. */
  async drain(signal: AbortSignal): Promise<void> {
    while (this.running.size > 0 && !signal.aborted) await Promise.all(this.running);
  }
}
