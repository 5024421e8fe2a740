import { beforeEach, describe, expect, it } from '@jest/globals';
import { CacheLog } from './cache-log.js';

describe('CacheLog', () => {
  let nowMs: number;
  let lines: string[];
  let log: CacheLog;

  beforeEach(() => {
    nowMs = 0;
    lines = [];
    const write = (message: string) => void lines.push(message);
    log = new CacheLog({ log: write, warn: write }, { now: () => nowMs, monotonicMs: () => nowMs });
  });

  it('writes one line for an outage and one for its end', () => {
    for (; nowMs < 3000; nowMs += 10) log.failed('read', 'ERR_REDIS_TIMEOUT');
    nowMs += 2000;
    log.succeeded('read');
    log.succeeded('read');

    expect(lines).toEqual([
      'Cache read fails (ERR_REDIS_TIMEOUT): values come from their loaders',
      'Cache read works again: 300 failed in 5.0 s',
    ]);
  });

  it('sums up a long outage every 30 s', () => {
    for (; nowMs < 61_000; nowMs += 1000) log.failed('delete', 'ERR_REDIS_UNAVAILABLE');

    expect(lines).toHaveLength(3);
    expect(lines[1]).toBe('Cache delete still fails (ERR_REDIS_UNAVAILABLE): 31 failed in 30.0 s');
  });

  it('does not take a server that answers every other call for recovered', () => {
    for (; nowMs < 10_000; nowMs += 10) {
      log.failed('write', 'ERR_REDIS_COMMAND');
      log.succeeded('write');
    }

    expect(lines).toHaveLength(1);
  });

  it('keeps operations apart', () => {
    log.failed('write', 'ERR_REDIS_COMMAND');
    nowMs += 5000;
    log.succeeded('read');

    expect(lines).toHaveLength(1);
  });

  it('folds faulty entries into one line in 30 s', () => {
    for (; nowMs < 31_000; nowMs += 1000) log.faulty('corrupt');

    expect(lines.map((line) => line.split(' ')[0])).toEqual(['1', '30']);
  });
});
