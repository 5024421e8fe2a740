import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { parseRedisUrl } from './url.js';

const ACCEPTED: readonly [string, object][] = [
  ['redis://db', { kind: 'tcp', host: 'db', port: 6379, tls: false }],
  ['redis://db/', { kind: 'tcp', host: 'db', port: 6379, tls: false }],
  ['REDIS://db.example.:6380/15', { kind: 'tcp', host: 'db.example.', port: 6380, tls: false, db: 15 }],
  ['rediss://10.0.0.7:6380/0', { kind: 'tcp', host: '10.0.0.7', port: 6380, tls: true, db: 0 }],
  ['redis://[2001:db8::1]:7000', { kind: 'tcp', host: '2001:db8::1', port: 7000, tls: false }],
  ['redis://[::1]', { kind: 'tcp', host: '::1', port: 6379, tls: false }],
  [
    'redis://app:p%40ss%2Fw%C3%B6rd@db',
    { kind: 'tcp', host: 'db', port: 6379, tls: false, username: 'app', password: 'p@ss/wörd' },
  ],
  ['redis://:p@ss@db', { kind: 'tcp', host: 'db', port: 6379, tls: false, password: 'p@ss' }],
  [
    'redis://app:a:b@db',
    { kind: 'tcp', host: 'db', port: 6379, tls: false, username: 'app', password: 'a:b' },
  ],
  ['redis://app@db', { kind: 'tcp', host: 'db', port: 6379, tls: false, username: 'app' }],
  ['unix:///run/redis.sock', { kind: 'unix', path: '/run/redis.sock' }],
  [
    'unix://app:pw@/run/redis.sock?db=3',
    { kind: 'unix', path: '/run/redis.sock', username: 'app', password: 'pw', db: 3 },
  ],
];

describe('parseRedisUrl', () => {
  it.each(ACCEPTED)('reads %s', (url, expected) => {
    const endpoint = parseRedisUrl(url);

    expect({
      ...endpoint,
      ...(endpoint.password === undefined ? {} : { password: endpoint.password }),
    }).toEqual(expected);
  });

  it('uses the given name in its error', () => {
    expect(() => parseRedisUrl('redis://', 'CACHE_URL')).toThrow(/^CACHE_URL names no host/);
  });

  it('refuses values that are no text', () => {
    expect(() => parseRedisUrl(undefined as unknown as string)).toThrow(/must be a URL .* but is undefined/);
  });

  it('answers an object that prints without the password', () => {
    const endpoint = parseRedisUrl('redis://app:hunter22@db');

    expect(inspect({ endpoint }) + JSON.stringify([endpoint]) + inspect({ ...endpoint })).not.toContain(
      'hunter22',
    );
    expect(JSON.parse(JSON.stringify(endpoint))).toMatchObject({ username: 'app', password: '***' });
  });
});
