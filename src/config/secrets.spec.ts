import { format, inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { createCertificate } from '../../test/support/certificate.js';
import { describeConnection, describeTarget, redactConnection } from './describe.js';
import { resolveConfiguration } from './resolve.js';

const CANARY = 'cAnArY-5ecret';
const { cert, key } = createCertificate();

function configured() {
  return resolveConfiguration(
    {
      url: `rediss://app:${CANARY}@db.example:6380/1`,
      tls: { ca: cert, cert, key },
      connections: {
        sentinel: {
          sentinels: { hosts: ['a', 'b:1'], name: 'mymaster', username: 'u', password: CANARY },
          password: CANARY,
          db: 2,
        },
        cluster: { cluster: { nodes: ['a:7000', '[::1]:7001'] }, password: CANARY },
        unix: { url: `unix://:${CANARY}@/tmp/x.sock` },
        socket: { path: '/tmp/x.sock', db: 1, password: CANARY },
        six: { host: '::1' },
      },
    },
    {},
  );
}

const PRINTERS: readonly [string, (value: unknown) => string][] = [
  ['JSON', (value) => JSON.stringify({ deep: { value, list: [value] } })],
  ['inspect', (value) => inspect({ deep: { value, list: [value] } }, { depth: 20 })],
  ['inspect with hidden properties', (value) => inspect({ value }, { depth: 20, showHidden: true })],
  ['%o', (value) => format('%o %O %j', value, { value }, [value])],
  ['text', (value) => `${String(value)}${new Error('x', { cause: value }).stack}`],
];

describe('a resolved configuration', () => {
  it.each(PRINTERS)('keeps its secrets when printed as %s', (_name, print) => {
    const configuration = configured();
    const secretLine = key.split('\n')[1]!;

    for (const value of [configuration, configuration.connections, ...configuration.connections.values()]) {
      expect(print(value)).not.toContain(CANARY);
      expect(print(value)).not.toContain(secretLine);
    }
    expect(print(configuration.connections.get('default')!.tls)).not.toContain(secretLine);
  });

  it('keeps its passwords when copied or printed without custom inspection', () => {
    for (const connection of configured().connections.values()) {
      expect(JSON.stringify({ ...connection })).not.toContain(CANARY);
      expect(inspect(connection, { customInspect: false, depth: 20 })).not.toContain(CANARY);
    }
  });

  it('gives the secrets to whoever asks by name', () => {
    const { connections } = configured();

    expect([...connections.values()].filter((item) => item.password === CANARY)).toHaveLength(5);
    expect(connections.get('default')!.tls).toEqual({ ca: cert, cert, key });
    expect(Object.assign({}, connections.get('default')!.tls)).toEqual({ ca: cert, cert, key });
  });

  it('shows *** where a secret is', () => {
    const { connections } = configured();

    expect(redactConnection(connections.get('default')!)).toEqual({
      mode: 'single',
      host: 'db.example',
      port: 6380,
      username: 'app',
      password: '***',
      db: 1,
      tls: { ca: '***', cert: '***', key: '***' },
      connectTimeoutMs: 2_000,
      commandTimeoutMs: 1_500,
      socketTimeoutMs: 2_000,
    });
    expect(JSON.stringify(connections.get('sentinel'))).toContain('"sentinelPassword":"***"');
    expect(inspect(connections.get('default'))).toContain("password: '***'");
  });
});

describe('describeConnection', () => {
  it('says where each connection leads, without credentials', () => {
    const lines = [...configured().connections.values()].map(describeConnection);

    expect(lines).toEqual([
      'rediss://db.example:6380/1',
      'sentinel mymaster via a:26379,b:1 db 2',
      'cluster a:7000,[::1]:7001',
      'unix:/tmp/x.sock',
      'unix:/tmp/x.sock db 1',
      'redis://[::1]:6379/0',
    ]);
  });
});

describe('describeTarget', () => {
  it('gives host and port as configured', () => {
    const targets = [...configured().connections.values()].map(describeTarget);

    expect(targets).toEqual([
      { host: 'db.example', port: 6380 },
      { host: 'a', port: 26379 },
      { host: 'a', port: 7000 },
      { host: '/tmp/x.sock', port: null },
      { host: '/tmp/x.sock', port: null },
      { host: '::1', port: 6379 },
    ]);
  });
});
