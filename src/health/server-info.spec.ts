import { describe, expect, it } from '@jest/globals';
import { parseInfo } from './server-info.js';

const info = (...lines: string[]) => parseInfo(lines.join('\r\n'));

describe('parseInfo', () => {
  it('prefers the version Valkey gives itself over the one it claims for compatibility', () => {
    expect(info('# Server', 'redis_version:7.2.4', 'valkey_version:9.1.1').version).toBe('9.1.1');
    expect(info('redis_version:7.0.15').version).toBe('7.0.15');
    expect(info('redis_version:', 'os:Linux').version).toBe('unknown');
  });

  it('speaks of replicas', () => {
    expect(info('# Replication', 'role:master').role).toBe('master');
    expect(info('role:slave').role).toBe('replica');
    expect(info('').role).toBe('unknown');
  });

  it('takes what a server leaves out for nothing wrong', () => {
    expect(info('role:master')).toMatchObject({
      uptimeMs: 0,
      loading: false,
      replication: { replicas: 0 },
      memory: { maxBytes: null, policy: 'unknown', evictedKeys: 0 },
      persistence: { rdb: 'ok', aof: 'off' },
      clients: { connected: 0, max: 0, rejected: 0 },
    });
  });

  it('reports the slowest of the replicas of a master that are online', () => {
    const { replication } = info(
      'role:master',
      'connected_slaves:3',
      'slave0:ip=10.0.0.2,port=6379,state=online,offset=900,lag=0',
      'slave1:ip=10.0.0.3,port=6379,state=online,offset=400,lag=7,type=replica',
      'slave2:ip=10.0.0.4,port=6379,state=wait_bgsave,offset=0,lag=0',
      'master_repl_offset:1000',
    );

    expect(replication).toEqual({ replicas: 2, lagMs: 7000, lagBytes: 600 });
  });

  it('reports the link of a replica, up and down', () => {
    const common = ['role:slave', 'master_host:10.0.0.1', 'master_port:6379', 'slave_read_only:1'];
    const up = info(
      ...common,
      'master_link_status:up',
      'master_last_io_seconds_ago:3',
      'slave_read_repl_offset:50',
      'slave_repl_offset:20',
    );
    const down = info(
      ...common,
      'master_link_status:down',
      'master_last_io_seconds_ago:-1',
      'master_link_down_since_seconds:-1',
    );

    const place = { master: '10.0.0.1:6379', readOnly: true };
    expect(up.replication).toEqual({ ...place, masterLink: 'up', lagMs: 3000, lagBytes: 30 });
    expect(down.replication).toEqual({ ...place, masterLink: 'down', lagMs: 0 });
  });

  it('tells an append-only file that is off from one that fails', () => {
    const failing = ['aof_last_write_status:err', 'aof_last_bgrewrite_status:ok'];

    expect(info('aof_enabled:0', ...failing).persistence.aof).toBe('off');
    expect(info('aof_enabled:1', ...failing).persistence.aof).toBe('error');
    expect(info('aof_enabled:1').persistence.aof).toBe('ok');
  });
});
