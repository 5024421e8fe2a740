import { afterAll, afterEach, beforeAll } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { createModule, type TestModuleInit } from './app.js';
import { startEmbedded, type TestServer } from './servers.js';

/** What the tests of a file share; see {@link embeddedSuite}. */
export interface EmbeddedSuite {
  /** Address of the server. */
  readonly url: string;
  /** Has a module closed after the test. */
  keep<T extends Pick<TestingModule, 'close'>>(module: T): T;
  /** Closes one now. */
  close(module: Pick<TestingModule, 'close'>): Promise<void>;
  /** A module on the server, closed after the test. */
  open(
    init: Omit<TestModuleInit, 'redis'> & { redis?: Partial<TestModuleInit['redis']> },
  ): Promise<TestingModule>;
}

/** One embedded engine for all tests of the file, and an end for every module they open. */
export function embeddedSuite(): EmbeddedSuite {
  let server: TestServer;
  const open: Pick<TestingModule, 'close'>[] = [];
  beforeAll(async () => {
    server = await startEmbedded();
  });
  afterEach(async () => {
    for (const module of open.splice(0)) await module.close();
  });
  afterAll(() => server.stop());
  const suite: EmbeddedSuite = {
    get url() {
      return server.url;
    },
    keep(module) {
      open.push(module);
      return module;
    },
    async close(module) {
      open.splice(open.indexOf(module), 1);
      await module.close();
    },
    async open({ redis, ...rest }) {
      return suite.keep(await createModule({ ...rest, redis: { url: server.url, ...redis } }));
    },
  };
  return suite;
}
