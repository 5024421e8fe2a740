import { describe, expect, it } from '@jest/globals';
import { resolveRedisHealthOptions } from './health.options.js';
import { parseInfo } from './server-info.js';
import { reasonsOf } from './server-reasons.js';

const limits = { ...resolveRedisHealthOptions().thresholds, evictionsPerMinute: 0 };
const quiet = { evictedKeys: 0, rejectedConnections: 0, overMs: 10_000 };

function reasons(info: string[], recent = quiet, given = limits): string[] {
  return reasonsOf({ ...parseInfo(info.join('\n')), recent }, given);
}

describe('reasonsOf', () => {
  it('finds nothing wrong with a server at rest', () => {
    expect(reasons(['role:master', 'maxclients:10000', 'connected_clients:3'])).toEqual([]);
  });

  it('accepts silence of a master up to the limit, not beyond', () => {
    const replica = (silent: number) => [
      'role:slave',
      'slave_read_only:0',
      'master_link_status:up',
      `master_last_io_seconds_ago:${silent}`,
    ];

    expect(reasons(replica(15))).toEqual([]);
    expect(reasons(replica(16))).toEqual(['it has heard nothing from its master for 16 s']);
  });

  it('wants as many replicas as it was told', () => {
    expect(reasons(['role:master'], quiet, { ...limits, minReplicas: 1 })).toEqual([
      '0 of 1 replicas are in step: a failover may lose writes',
    ]);
  });

  it('takes full memory for a fault only where nothing is evicted', () => {
    const full = ['maxmemory:100', 'used_memory:95'];

    expect(reasons([...full, 'maxmemory_policy:allkeys-lru'])).toEqual([]);
    expect(reasons([...full, 'maxmemory_policy:noeviction'])).toEqual([
      '95 % of maxmemory is used and nothing is evicted: writes are refused when it is full',
    ]);
  });

  it('measures evictions and refusals per minute when it was asked rarely', () => {
    const recent = { evictedKeys: 10, rejectedConnections: 0, overMs: 600_000 };

    expect(reasons([], recent, { ...limits, evictionsPerMinute: 1 })).toEqual([]);
    expect(reasons([], { ...recent, overMs: 60_000 }, { ...limits, evictionsPerMinute: 1 })).toHaveLength(1);
    expect(reasons(['maxclients:10'], { ...quiet, rejectedConnections: 3 })).toEqual([
      '3 connections were refused in 10 s (maxclients 10)',
    ]);
  });

  it('names the node of a Cluster', () => {
    const server = { ...parseInfo('loading:1'), recent: quiet, address: '10.0.0.1:7000' };

    expect(reasonsOf(server, limits)).toEqual(['10.0.0.1:7000: the server loads its data']);
  });
});
