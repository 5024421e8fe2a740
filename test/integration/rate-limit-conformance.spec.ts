import { afterAll, beforeAll, describe } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { REDIS, type RedisClient } from 'rednest';
import { createModule } from '../support/app.js';
import { limiterConformance } from '../support/limiter/conformance.js';
import { memorySubject, scriptSubject } from '../support/limiter/subjects.js';
import { describeNative } from '../support/needs.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';

describe('limits in memory', () => {
  limiterConformance(memorySubject);
});

describe('limit scripts on the embedded engine', () => {
  onServer(startEmbedded);
});

describeNative('limit scripts on redis-server', () => {
  onServer(startNative);
});

function onServer(start: () => Promise<TestServer>): void {
  let server: TestServer;
  let module: TestingModule;

  beforeAll(async () => {
    server = await start();
    module = await createModule({ redis: { url: server.url } });
  });

  afterAll(async () => {
    await module?.close();
    await server?.stop();
  });

  limiterConformance(() => scriptSubject(module.get<RedisClient>(REDIS)));
}
