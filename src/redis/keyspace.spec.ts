import { describe, expect, it } from '@jest/globals';
import {
  defineKeyspace,
  KeyspaceRegistry,
  resolveTtl,
  type KeyspaceDefinition,
  type Ttl,
} from './keyspace.js';

const BASE = {
  capability: 'queue',
  name: 'once',
  routing: 'tenantId',
  parts: ['type', 'dedupeKey'],
  ttl: '1d',
  value: 'hash',
  description: 'A claim',
} as const satisfies KeyspaceDefinition<readonly string[]>;

describe('resolveTtl', () => {
  it.each<[Ttl, number]>([
    ['short', 30_000],
    ['medium', 300_000],
    ['long', 3_600_000],
    ['45s', 45_000],
    [1500, 1500],
  ])('reads %p', (ttl, expected) => {
    expect(resolveTtl(ttl)).toBe(expected);
  });

  it.each(['forever', 'none', 'constructor', '__proto__', '', 0, -1, 1.5, null, undefined])(
    'refuses %p and names the option',
    (ttl) => {
      expect(() => resolveTtl(ttl as Ttl, 'cache.ttl')).toThrow(/cache\.ttl/);
    },
  );
});

describe('defineKeyspace', () => {
  it('builds keys and knows their form and time to live', () => {
    const keyspace = defineKeyspace(BASE);

    expect(keyspace.key('shop', 't1', 'invoice', 42)).toBe('shop:queue:{t1}:once:invoice:42');
    expect(keyspace.pattern).toBe('<prefix>:queue:{tenantId}:once:<type>:<dedupeKey>');
    expect(keyspace.ttlMs).toBe(86_400_000);
  });

  it.each(['none', 'per-call'] as const)('has no time to live of its own with %p', (ttl) => {
    expect(defineKeyspace({ ...BASE, ttl }).ttlMs).toBeUndefined();
  });

  it('keeps a hostile tenant out of the keys of another', () => {
    const keyspace = defineKeyspace(BASE);

    const key = keyspace.key('shop', 'a}:once:x:y', 'i', 'n');

    expect(key).toBe('shop:queue:{a%7D%3Aonce%3Ax%3Ay}:once:i:n');
    expect(keyspace.key('shop', 't', 'a:b', 'c')).not.toBe(keyspace.key('shop', 't', 'a', 'b:c'));
  });

  it.each([
    ['', 'a', 'b'],
    ['t', '', 'b'],
    ['t', 'a', undefined],
    [undefined, 'a', 'b'],
    [{}, 'a', 'b'],
  ])('refuses the parts %p, %p, %p', (...parts) => {
    const [routingId, ...rest] = parts as [string, string, string];

    expect(() => defineKeyspace(BASE).key('shop', routingId, ...rest)).toThrow(/key part/);
  });

  it('refuses an unusable time to live when it is declared', () => {
    expect(() => defineKeyspace({ ...BASE, ttl: 'soon' as Ttl })).toThrow(/once\.ttl/);
    expect(() => defineKeyspace({ ...BASE, ttl: 0 })).toThrow(/once\.ttl/);
  });

  it('does not follow later changes of the declaration', () => {
    const definition: { -readonly [K in keyof typeof BASE]: (typeof BASE)[K] | string } = { ...BASE };
    const keyspace = defineKeyspace(definition as typeof BASE);

    definition.capability = 'cache';

    expect(keyspace.key('p', 't', 'a', 'b')).toContain(':queue:');
  });
});

describe('KeyspaceRegistry', () => {
  it('lists what was registered, sorted, each once', () => {
    const registry = new KeyspaceRegistry();
    const once = defineKeyspace(BASE);
    const entry = defineKeyspace({ ...BASE, capability: 'cache', name: 'entry', parts: [], ttl: 'per-call' });
    const all = [once, defineKeyspace({ ...BASE, name: 'job', ttl: 'none' }), entry];

    [...all, once].forEach((keyspace) => registry.register(keyspace));

    expect(registry.table().map(({ capability, name, ttlMs }) => [capability, name, ttlMs])).toEqual([
      ['cache', 'entry', 'per-call'],
      ['queue', 'job', 'none'],
      ['queue', 'once', 86_400_000],
    ]);
  });

  it('refuses a second declaration of one name, also an equal one', () => {
    const registry = new KeyspaceRegistry();
    registry.register(defineKeyspace(BASE));

    expect(() => registry.register(defineKeyspace(BASE))).toThrow(/"queue:once" is declared twice/);
  });
});
