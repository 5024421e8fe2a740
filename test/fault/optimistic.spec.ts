import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { REDIS, RedisOperations, type RedisClient } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';

describeNative('RedisOperations.optimistic while its connection is away', () => {
  let server: NativeServer;
  let module: TestingModule;
  let redis: RedisClient;

  beforeAll(async () => {
    server = await startNative();
    module = await createModule({ redis: { url: server.url } });
    redis = inject<RedisClient>(module, REDIS);
  });

  afterAll(async () => {
    server?.resume();
    await module?.close();
    await server?.stop();
  });

  // The connection is back a moment after the deadline. Where in the wait of the attempt that is differs by run.
  it('writes nothing once it has said that nothing was sent', async () => {
    const operations = inject(module, RedisOperations);
    const outcomes = new Set<unknown>();
    const written: string[] = [];
    let runs = 0;
    let repeated = 0;

    for (let round = 0; round < 10; round += 1) {
      runs = round;
      const key = uniquePrefix();
      const call = operations.optimistic(
        'probe',
        [key],
        async (client) => {
          runs += 1;
          if (runs > round + 1) return (queue) => [queue.set(key, 'late')];
          server.freeze();
          client.stream.destroy();
          await once(client, 'close');
          return (queue) => [queue.set(key, 'late')];
        },
        { deadlineMs: 150 },
      );
      const error: unknown = await call.catch((error: unknown) => error);
      server.resume();
      outcomes.add((error as { outcome?: unknown }).outcome);
      await eventually('the connections to be back', async () => (await redis.ping()) === 'PONG');
      await operations.optimistic('after', [key], () => Promise.resolve(undefined), { deadlineMs: 5000 });
      repeated += runs - round - 1;
      if ((await redis.exists(key)) > 0) written.push(key);
    }

    expect({ outcomes: [...outcomes], repeated, written }).toEqual({
      outcomes: ['not-sent'],
      repeated: 0,
      written: [],
    });
  });
});
