import { describe, expect, it } from '@jest/globals';
import { Cluster, type Redis } from 'ioredis';
import { resolveConfiguration } from '../config/index.js';
import { createListeningClient, takeOverSubscriptions } from './subscriber-client.js';

const target = resolveConfiguration(
  { cluster: { nodes: ['127.0.0.1:7001', '127.0.0.1:7002', '127.0.0.1:7003'] }, password: 'canary' },
  {},
).connections.get('default')!;

describe('createListeningClient', () => {
  it('goes to one node of a Cluster, to the next one after each close, and keeps the credentials', () => {
    const client = createListeningClient(target, 'subscriber', 'app') as Redis;
    client.on('error', () => undefined);
    const ports = [client.options.port];

    for (let index = 0; index < 3; index += 1) {
      client.emit('close');
      ports.push(client.options.port);
    }

    expect(new Set(ports.slice(0, 3))).toEqual(new Set([7001, 7002, 7003]));
    expect(ports[3]).toBe(ports[0]);
    expect(client.options).toMatchObject({ host: '127.0.0.1', password: 'canary', db: 0 });
  });

  it('refuses one tracking connection for a whole Cluster', () => {
    expect(() => createListeningClient(target, 'tracking', 'app')).toThrow(
      /cannot track a Cluster.*registry\.tracking/,
    );
  });
});

describe('takeOverSubscriptions', () => {
  it('refuses a Cluster client of the application', () => {
    const cluster = new Cluster([{ host: '127.0.0.1', port: 7001 }], { lazyConnect: true });

    expect(() => takeOverSubscriptions(cluster, 'main')).toThrow(/"main" is a Cluster client/);
  });
});
