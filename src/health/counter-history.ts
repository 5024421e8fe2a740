import type { ServerReport } from './server-info.js';

/** What counters of a server grew by of late. */
export interface RecentCounts {
  /** Keys removed to make room for others. */
  readonly evictedKeys: number;
  /** Connections refused because of `maxclients`. */
  readonly rejectedConnections: number;
  /** Span the counts are taken over, in milliseconds; 0 after the first reading. */
  readonly overMs: number;
}

/** Counters are compared with those of about a minute ago. */
const WINDOW_MS = 60_000;

interface Reading {
  readonly atMs: number;
  readonly evictedKeys: number;
  readonly rejected: number;
}

/**
 * Turns counters that only grow into what happened of late. They start at 0 with the server, so a
 * new server process starts a new history.
 */
export class CounterHistory {
  private readings: Reading[] = [];
  private runId: string | undefined;
  private changedAtMs: number | undefined;

  /** When another server process was seen than before, in monotonic milliseconds. */
  get serverChangedAtMs(): number | undefined {
    return this.changedAtMs;
  }

  /** Adds a reading and says what happened in the last minute, or since the first reading. */
  add({ runId, memory, clients }: ServerReport, nowMs: number): RecentCounts {
    if (runId !== this.runId) {
      if (this.runId !== undefined) this.changedAtMs = nowMs;
      this.runId = runId;
      this.readings = [];
    }
    const reading = { atMs: nowMs, evictedKeys: memory.evictedKeys, rejected: clients.rejected };
    // CONFIG RESETSTAT sets them back.
    const last = this.readings.at(-1);
    const wasReset = last && (reading.evictedKeys < last.evictedKeys || reading.rejected < last.rejected);
    if (wasReset) this.readings = [];
    this.readings.push(reading);
    while (this.readings.length > 2 && this.readings[1]!.atMs <= nowMs - WINDOW_MS) this.readings.shift();
    const base = this.readings[0]!;
    return {
      evictedKeys: reading.evictedKeys - base.evictedKeys,
      rejectedConnections: reading.rejected - base.rejected,
      overMs: Math.round(nowMs - base.atMs),
    };
  }
}
