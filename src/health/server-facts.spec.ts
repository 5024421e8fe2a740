import { describe, expect, it } from '@jest/globals';
import { parseRole, parseVersion } from './server-facts.js';

describe('parseVersion', () => {
  it('prefers the version Valkey gives itself over the one it claims for compatibility', () => {
    expect(parseVersion('# Server\r\nredis_version:7.2.4\r\nvalkey_version:9.1.1\r\n')).toBe('9.1.1');
    expect(parseVersion('# Server\r\nredis_version:7.0.15\r\n')).toBe('7.0.15');
    expect(parseVersion('# Server\r\nredis_version:\r\nos:Linux')).toBe('unknown');
  });
});

describe('parseRole', () => {
  it('speaks of replicas', () => {
    expect(parseRole('# Replication\r\nrole:master\r\n')).toBe('master');
    expect(parseRole('role:slave')).toBe('replica');
    expect(parseRole('')).toBe('unknown');
  });
});
