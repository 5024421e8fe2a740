import { describe, expect, it } from '@jest/globals';
import { AvailabilityLog } from './availability-log.js';

describe('AvailabilityLog', () => {
  it('writes one line per change of state, however many decisions there are', () => {
    const lines: string[] = [];
    let nowMs = 0;
    const logger = { log: (line: string) => lines.push(line), warn: (line: string) => lines.push(line) };
    const log = new AvailabilityLog(logger, { now: () => nowMs, monotonicMs: () => nowMs });

    log.succeeded();
    for (let i = 0; i < 100; i++) log.failed('ERR_REDIS_TIMEOUT');
    nowMs += 999;
    log.succeeded();
    expect(lines).toEqual([expect.stringContaining('(ERR_REDIS_TIMEOUT)')]);

    nowMs += 1;
    log.succeeded();
    log.succeeded();
    expect(lines).toHaveLength(2);
    expect(lines[1]).toContain('again; 100 decisions');
  });
});
