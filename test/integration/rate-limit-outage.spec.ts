import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Test, type TestingModule } from '@nestjs/testing';
import { RedisModule } from 'rednest';
import { RateLimiter, RateLimitModule, RateLimitUnavailableError, type Policy } from 'rednest/rate-limit';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

const OPEN: Policy = { name: 'open', limit: 100, window: '1h', onError: 'open' };
const CLOSED: Policy = { name: 'closed', limit: 100, window: '1h', onError: 'closed' };

describeNative('RateLimiter without Redis', () => {
  let server: NativeServer;
  let app: TestingModule;
  let limiter: RateLimiter;
  const log = new TestLog();

  beforeAll(async () => {
    server = await startNative();
    app = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ url: server.url, app: uniquePrefix(), env: {}, logger: new TestLog() }),
        RateLimitModule.forRoot(),
      ],
    })
      .setLogger(log)
      .compile();
    await app.init();
    limiter = app.get(RateLimiter);
    await eventually(
      'a decision of the server',
      async () => (await limiter.consume('warm', OPEN)).source === 'redis',
    );
    log.lines.length = 0;
  });

  afterAll(async () => {
    await app?.close();
    await server?.stop();
  });

  const fallsBack = async (): Promise<number> => {
    const startedMs = performance.now();
    const decision = await limiter.consume('me', OPEN);
    expect(decision).toEqual({
      allowed: true,
      violated: [],
      shadowed: [],
      retryAfterMs: 0,
      source: 'open',
      policies: [],
    });
    return performance.now() - startedMs;
  };

  const failsClosed = async (): Promise<void> => {
    const error: unknown = await limiter.consume('me', [OPEN, CLOSED]).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(RateLimitUnavailableError);
    expect(error).toMatchObject({ code: 'ERR_RATE_LIMIT_UNAVAILABLE', policies: ['open', 'closed'] });
    await expect(limiter.reset('me', OPEN)).rejects.toBeInstanceOf(RateLimitUnavailableError);
  };

  it('decides within the timeout while the server is frozen, and counts again afterwards', async () => {
    server.freeze();
    const elapsed = [await fallsBack(), await fallsBack(), await fallsBack()];
    await failsClosed();
    server.resume();

    await eventually(
      'a decision of the server',
      async () => (await limiter.consume('me', OPEN)).source === 'redis',
    );
    await eventually('the line about the recovery', async () => {
      await limiter.consume('me', OPEN);
      return log.lines.length >= 2;
    });

    expect(Math.max(...elapsed)).toBeLessThan(500);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'log']);
    expect(log.lines[0]!.message).toContain('ERR_REDIS_TIMEOUT');
  });

  it('decides within the timeout while the server is gone, and counts again when it is back', async () => {
    await server.kill();
    const elapsed = [await fallsBack(), await fallsBack(), await fallsBack()];
    await failsClosed();
    await server.restart();

    await eventually(
      'a decision of the server',
      async () => (await limiter.consume('me', OPEN)).source === 'redis',
    );

    expect(Math.max(...elapsed)).toBeLessThan(500);
  });
});
