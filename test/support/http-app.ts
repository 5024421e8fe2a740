import type { DynamicModule, INestApplication, Provider, Type } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { RedisModule } from 'rednest';
import { RateLimitModule, type RateLimitModuleOptions } from 'rednest/rate-limit';
import { uniquePrefix } from './prefix.js';
import type { TestLog } from './test-log.js';

/** What {@link startHttpApp} builds. */
export interface HttpAppInit {
  url: string;
  adapter: AbstractHttpAdapter;
  log: TestLog;
  options?: RateLimitModuleOptions;
  controllers?: Type[];
  imports?: (Type | DynamicModule)[];
  providers?: Provider[];
  /** Key prefix; one of its own when it is left out. */
  prefix?: string;
  env?: Record<string, string>;
  /** Runs before the application is initialised. */
  prepare?: (app: INestApplication) => void | Promise<void>;
}

/** An answer, read to its end. */
export interface HttpAnswer {
  status: number;
  headers: Headers;
  body: string;
}

/** An application with rate limits that listens, and a client for it. */
export interface HttpApp {
  readonly app: INestApplication;
  readonly base: string;
  get(path: string, headers?: Record<string, string>): Promise<HttpAnswer>;
  post(path: string, body: object, headers?: Record<string, string>): Promise<HttpAnswer>;
  close(): Promise<void>;
}

/** Starts it on a free port. */
export async function startHttpApp(init: HttpAppInit): Promise<HttpApp> {
  const { url, adapter, log, options = {}, controllers = [], imports = [], providers = [] } = init;
  const module = await Test.createTestingModule({
    imports: [
      RedisModule.forRoot({ url, app: init.prefix ?? uniquePrefix(), env: init.env ?? {}, logger: log }),
      RateLimitModule.forRoot({ timeout: '1s', ...options }),
      ...imports,
    ],
    controllers,
    providers,
  })
    .setLogger(log)
    .compile();
  const app = module.createNestApplication(adapter, { logger: log });
  try {
    await init.prepare?.(app);
    await app.listen(0, '127.0.0.1');
  } catch (error) {
    await app.close();
    throw error;
  }
  const base = await app.getUrl();
  const request = async (path: string, more: RequestInit): Promise<HttpAnswer> => {
    const response = await fetch(base + path, { ...more, signal: AbortSignal.timeout(5000) });
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
  return {
    app,
    base,
    get: (path, headers = {}) => request(path, { headers: { ...headers, connection: 'close' } }),
    post: (path, body, headers = {}) =>
      request(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers, connection: 'close' },
        body: JSON.stringify(body),
      }),
    close: () => app.close(),
  };
}
