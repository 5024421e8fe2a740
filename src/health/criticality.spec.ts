import { describe, expect, it } from '@jest/globals';
import { CapabilityRegistry, type ConnectionRegistry } from '../redis/index.js';
import { Criticality } from './criticality.js';
import { resolveRedisHealthOptions, type RedisHealthOptions } from './health.options.js';

const NAMES = ['default', 'jobs', 'cache'];

function criticality(
  options: RedisHealthOptions,
  ...uses: [capability: string, connection: string, critical: boolean][]
) {
  const capabilities = new CapabilityRegistry();
  for (const [capability, connection, critical] of uses) {
    capabilities.declare({ capability, connection, critical });
  }
  const registry = { capabilities } as Pick<ConnectionRegistry, 'capabilities'> as ConnectionRegistry;
  return new Criticality(registry, resolveRedisHealthOptions(options));
}

function critical(...args: Parameters<typeof criticality>): string[] {
  const judge = criticality(...args);
  return NAMES.filter((name) => judge.isCritical(name));
}

describe('Criticality', () => {
  it('is the checked connection while nothing has declared itself', () => {
    expect(critical({})).toEqual(['default']);
    expect(critical({ connection: 'jobs' })).toEqual(['jobs']);
  });

  it('is what the option says, whatever works there', () => {
    const queues = ['queues', 'jobs', true] as const;

    expect(critical({ critical: ['default', 'cache'] }, [...queues])).toEqual(['default', 'cache']);
    expect(critical({ critical: true }, [...queues])).toEqual(NAMES);
    expect(critical({ critical: false }, [...queues])).toEqual([]);
  });

  it('is every connection that a critical capability works on', () => {
    expect(critical({}, ['cache', 'default', false])).toEqual([]);
    expect(critical({}, ['cache', 'default', false], ['queues', 'default', true])).toEqual(['default']);
    expect(critical({}, ['cache', 'cache', false], ['queues', 'jobs', true])).toEqual(['default', 'jobs']);
  });

  it('can be said otherwise by capability', () => {
    const uses = [
      ['cache', 'cache', false],
      ['queues', 'default', true],
    ] as [string, string, boolean][];

    expect(critical({ capabilities: { cache: true } }, ...uses)).toEqual(['default', 'cache']);
    expect(critical({ capabilities: { queues: false } }, ...uses)).toEqual([]);
    expect(criticality({ capabilities: { queues: false } }, ...uses).weights('default')).toEqual({
      queues: 'optional',
    });
  });

  it('is critical when one of two that share a name is', () => {
    expect(criticality({}, ['cache', 'a', false], ['cache', 'a', true]).weights('a')).toEqual({
      cache: 'critical',
    });
  });

  it('refuses the name of a capability that is not in use', () => {
    const judge = criticality({ capabilities: { caches: true } }, ['cache', 'default', false]);

    expect(() => judge.assertKnown()).toThrow(/names "caches", which is not in use; in use are: "cache"/);
  });
});
