// Uses every subpath the way an application does, on the embedded engine. Runs in a project that has
// the packed tarball installed; `load` is `import` or `require`, whichever the project has.
import assert from 'node:assert/strict';

/** @typedef {(specifier: string) => Promise<any>} Load */

/**
 * @param {Load} load
 * @param {Record<string, unknown>} metadata imports, providers and controllers
 */
async function start(load, metadata) {
  const [{ Module }, { NestFactory }, { RedisModule }, { EmbeddedRedis }] = [
    await load('@nestjs/common'),
    await load('@nestjs/core'),
    await load('rednest'),
    await load('rednest/embedded'),
  ];
  class AppModule {}
  const redis = RedisModule.forRoot({ app: 'consumer', env: {}, embedded: EmbeddedRedis, logger: SILENT });
  const imports = [redis, .../** @type {unknown[]} */ (metadata['imports'] ?? [])];
  Module({ ...metadata, imports })(AppModule);
  const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false });
  await app.listen(0, '127.0.0.1');
  return app;
}

const SILENT = { log() {}, warn() {}, error() {} };

/** @param {object} prototype @param {string} method @param {MethodDecorator} decorator */
function decorate(prototype, method, decorator) {
  decorator(prototype, method, /** @type {any} */ (Object.getOwnPropertyDescriptor(prototype, method)));
}

/** @type {Record<string, (load: Load) => Promise<void>>} */
const SCENARIOS = {
  async '.'(load) {
    const { REDIS, isRednestError, resolveConfiguration } = await load('rednest');

    const app = await start(load, {});
    const redis = app.get(REDIS);
    await redis.set('consumer:greeting', 'hello', 'PX', 1000);

    assert.equal(await redis.get('consumer:greeting'), 'hello');
    assert.throws(
      () => resolveConfiguration({ url: 'http://nowhere' }, { env: {} }),
      (error) => isRednestError(error, 'ERR_CONFIGURATION'),
    );
    await app.close();
  },

  async './embedded'(load) {
    const { EmbeddedRedis } = await load('rednest/embedded');

    const server = await EmbeddedRedis.start({ maxMemory: '16mb' });

    assert.match(server.url, /^redis:\/\/127\.0\.0\.1:\d+$/);
    await server.stop();
  },

  async './cache'(load) {
    const { CacheModule, CacheService } = await load('rednest/cache');
    const app = await start(load, { imports: [CacheModule.forRoot({ ttl: 'short' })] });
    const cache = app.get(CacheService);

    const prices = await Promise.all([1, 2].map(() => cache.getOrSet(['price', 1], async () => 1999)));

    assert.deepEqual(prices, [1999, 1999]);
    assert.equal(cache.stats().loads, 1);
    await app.close();
  },

  async './testing'(load) {
    const { NestFactory } = await load('@nestjs/core');
    const { Module } = await load('@nestjs/common');
    const { CacheService } = await load('rednest/cache');
    const { CacheTestbed, CacheTestingModule } = await load('rednest/testing');
    class AppModule {}
    Module({ imports: [CacheTestingModule.forRoot()] })(AppModule);
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });

    await app.get(CacheService).getOrSet('k', async () => 1);
    await app.get(CacheTestbed).settled();

    assert.equal(app.get(CacheTestbed).loads, 1);
    assert.equal(await app.get(CacheService).get('k'), 1);
    await app.close();
  },

  async './rate-limit'(load) {
    const { Controller, Get } = await load('@nestjs/common');
    const { APP_GUARD } = await load('@nestjs/core');
    const { RateLimitGuard, RateLimitModule } = await load('rednest/rate-limit');
    class HelloController {
      hello() {
        return 'hello';
      }
    }
    Controller()(HelloController);
    decorate(HelloController.prototype, 'hello', Get());
    const app = await start(load, {
      imports: [RateLimitModule.forRoot({ defaultPolicies: [{ name: 'once', limit: 1, window: '1m' }] })],
      controllers: [HelloController],
      providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
    });
    const url = await app.getUrl();

    const [first, second] = [await fetch(url), await fetch(url)];

    assert.deepEqual([first.status, second.status], [200, 429]);
    assert.match(String(second.headers.get('retry-after')), /^\d+$/);
    await app.close();
  },

  async './queue'(load) {
    const { OnJob, QueueModule, QueueProcessor, getQueueProducerToken } = await load('rednest/queue');
    /** @type {string[]} */
    const seen = [];
    class MailProcessor {
      /** @param {{ to: string }} mail */
      async send(mail) {
        return `sent to ${mail.to}`;
      }
      async slow() {
        seen.push('started');
        await new Promise((resolve) => setTimeout(resolve, 300));
        seen.push('ended');
      }
      onModuleDestroy() {
        seen.push('destroyed');
      }
    }
    QueueProcessor('mail__outgoing')(MailProcessor);
    decorate(MailProcessor.prototype, 'send', OnJob('send'));
    decorate(MailProcessor.prototype, 'slow', OnJob('slow'));
    const app = await start(load, {
      imports: [QueueModule.forRoot(), QueueModule.forFeature(['mail__outgoing'])],
      providers: [MailProcessor],
    });
    const producer = app.get(getQueueProducerToken('mail__outgoing'));

    const id = await producer.add('send', { to: 'ada' }, { tenantId: 'acme' });

    const job = await until('the job ended', async () => {
      const found = await producer.find(id, 'acme');
      return found?.finishedAtMs === undefined ? undefined : found;
    });
    assert.equal(job.result, 'sent to ada');
    await producer.add('slow', {});
    await until('the slow job started', async () => seen[0]);
    await app.close();
    assert.deepEqual(seen, ['started', 'ended', 'destroyed']);
  },

  async './health'(load) {
    const { Controller, Get, Inject } = await load('@nestjs/common');
    const { HealthCheckService, TerminusModule } = await load('@nestjs/terminus');
    const health = await load('rednest/health');
    const tokens = [
      HealthCheckService,
      health.RedisHealthIndicator,
      health.DrainHealthIndicator,
      health.ConnectionsHealthIndicator,
    ];
    class ReadyController {
      /** @param {any[]} injected */
      constructor(...injected) {
        this.injected = injected;
      }
      ready() {
        const [service, ...indicators] = this.injected;
        return service.check(indicators.map((indicator) => () => indicator.isHealthy()));
      }
    }
    Controller()(ReadyController);
    tokens.forEach((token, index) => Inject(token)(ReadyController, undefined, index));
    decorate(ReadyController.prototype, 'ready', Get());
    const app = await start(load, {
      imports: [TerminusModule.forRoot({ logger: false }), health.RedisHealthModule.forRoot()],
      controllers: [ReadyController],
    });

    const response = await fetch(await app.getUrl());
    const body = await response.text();
    await app.close();

    assert.equal(response.status, 200, body);
    const { details } = JSON.parse(body);
    assert.deepEqual(Object.keys(details).sort(), ['connections', 'redis', 'shutdown']);
    assert.equal(details.redis.connected, true);
  },
};

/** @param {string} what @param {() => Promise<any>} check */
async function until(what, check) {
  const deadlineMs = performance.now() + 5000;
  while (performance.now() < deadlineMs) {
    const found = await check();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within 5 s: ${what}`);
}

/**
 * Runs scenarios, named by subpath, and prints `OK <subpath>` or `FAILED <subpath>: <why>` for each.
 * @param {Load} load @param {string[]} names
 */
export async function run(load, names = Object.keys(SCENARIOS)) {
  await load('reflect-metadata');
  for (const name of names) {
    try {
      await SCENARIOS[name]?.(load);
      process.stdout.write(`OK ${name}\n`);
    } catch (error) {
      process.stdout.write(`FAILED ${name}: ${/** @type {Error} */ (error).message.split('\n')[0]}\n`);
      process.exitCode = 1;
    }
  }
}
