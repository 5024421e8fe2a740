import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { BAD_CONFIGURATIONS, CANARY } from '../support/bad-configurations.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { freePort, startNative, type NativeServer } from '../support/servers.js';
import { ServiceProcess } from '../support/service.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function run(env: Record<string, string>): ServiceProcess {
  const cwd = mkdtempSync(join(tmpdir(), 'rednest-service-'));
  const service = new ServiceProcess(env, cwd);
  cleanups.push(async () => {
    await service.kill();
    rmSync(cwd, { recursive: true, force: true });
  });
  return service;
}

async function native(): Promise<NativeServer> {
  const server = await startNative();
  cleanups.push(() => server.stop());
  return server;
}

function notify(url: string, dedupeKey: string): Promise<Response> {
  return fetch(`${url}/tenants/acme/notifications`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 't', channel: 'email', to: 'a@example.com', dedupeKey, body: 'Hi' }),
    signal: AbortSignal.timeout(5000),
  });
}

/** Status of a request, and how long it took. */
async function timed(url: string): Promise<{ status: number; ms: number }> {
  const startedMs = performance.now();
  const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
  await response.arrayBuffer();
  return { status: response.status, ms: performance.now() - startedMs };
}

describe('the service as a process', () => {
  it('starts on an embedded engine, says so, and tells what to try', async () => {
    const service = run({});
    const url = await service.url();

    expect((await timed(`${url}/health`)).status).toBe(200);
    expect(service.output).toContain('started an embedded one at redis://127.0.0.1:');
    await eventually(
      'the curl lines are printed',
      () => service.output.match(/^.* {2}curl .*$/gm)?.length === 3,
    );
    service.signal('SIGTERM');
    expect(await service.exit()).toEqual({ code: 0, signal: null });
  });

  it('R2 reads a .env file in its folder', async () => {
    const cwd = mkdtempSync(join(tmpdir(), 'rednest-env-'));
    cleanups.push(() => rmSync(cwd, { recursive: true, force: true }));
    writeFileSync(join(cwd, '.env'), 'REDIS_URL=http://nonsense\n');

    const service = new ServiceProcess({}, cwd);

    expect(await service.exit()).toMatchObject({ code: 1 });
    expect(service.output).toContain('REDIS_URL');
  });

  it('a worker serves health and nothing else', async () => {
    const service = run({ QUEUE_ROLE: 'worker' });
    const url = await service.url();

    expect((await timed(`${url}/health/ready`)).status).toBe(200);
    expect((await timed(`${url}/campaigns/c1`)).status).toBe(404);
    service.signal('SIGINT');
    expect(await service.exit()).toEqual({ code: 0, signal: null });
  });

  it('R2 ends with code 1 and the cause when the server is away', async () => {
    const port = await freePort();
    const service = run({ REDIS_URL: `redis://:${CANARY}@127.0.0.1:${port}`, REDIS_BOOT_TIMEOUT_MS: '300' });

    expect(await service.exit()).toMatchObject({ code: 1 });
    expect(service.output).toMatch(/did not become ready within 300 ms: ECONNREFUSED/);
    expect(service.output).not.toContain(CANARY);
  });

  it('names its own variables when they are wrong', async () => {
    const service = run({ PORT: 'http', QUEUE_ROLE: 'boss', APP_RATE_LIMIT: '-1', HTTP_ADAPTER: 'koa' });

    expect(await service.exit()).toMatchObject({ code: 1 });
    for (const name of ['PORT', 'QUEUE_ROLE', 'APP_RATE_LIMIT', 'HTTP_ADAPTER']) {
      expect(service.output).toContain(`${name} must be`);
    }
  });
});

describe('R2 R27 a configuration that cannot be used ends the process with code 1 and one clear error', () => {
  // Every case is checked without a process beside the parser; 28 of them end one here.
  const cases = BAD_CONFIGURATIONS.filter(({ via }) => via === 'env')
    .filter((_, index) => index % 3 === 0)
    .slice(0, 28);

  it('covers at least 25 cases', () => {
    expect(cases.length).toBeGreaterThanOrEqual(25);
  });

  it.each(cases)(
    '$name',
    async ({ env, expected }) => {
      const service = run({ NODE_ENV: 'production', ...env });

      expect(await service.exit()).toEqual({ code: 1, signal: null });
      expect(service.output).toMatch(expected);
      expect(service.output).not.toContain(CANARY);
      expect(service.output).not.toMatch(/\n\s+at .*\.js:\d+|\\n {4}at /);
    },
    30_000,
  );
});

describeNative('the service under faults', () => {
  it('R8 finishes the requests and jobs in flight on SIGTERM, exits with 0, leaves no connection', async () => {
    const server = await native();
    const service = run({ REDIS_URL: server.url, REDIS_APP_NAME: 'sigterm' });
    const url = await service.url();
    const jobs = 30;
    const accepted = await Promise.all(Array.from({ length: jobs }, (_, index) => notify(url, `k${index}`)));
    const slow = timed(`${url}/campaigns/c50`);
    const observer = new Redis(server.url);
    cleanups.push(() => observer.disconnect());
    await eventually('the request is in flight', async () => (await observer.keys('*:rl:*')).length > 0);
    const startedMs = performance.now();

    service.signal('SIGTERM');

    expect((await slow).status).toBe(200);
    expect(await service.exit()).toEqual({ code: 0, signal: null });
    expect(performance.now() - startedMs).toBeLessThan(5000);
    expect(accepted.every(({ status }) => status === 202)).toBe(true);
    const base = 'sigterm:queue:{notifications__email}:notifications__email';
    expect(await observer.llen(`${base}:active`)).toBe(0);
    // Some wait for the limit of their provider; the next sweep, which is scheduled, is none of them.
    const ended = ['completed', 'prioritized', 'delayed'].map((state) =>
      observer.zrange(`${base}:${state}`, '0', '-1'),
    );
    const kept = (await Promise.all(ended)).flat().filter((id) => !id.startsWith('repeat:'));
    expect(kept).toHaveLength(jobs);
    expect((await observer.client('LIST')) as string).not.toContain('name=sigterm:');
  });

  it('R8 exits at once, with code 1, on a second signal', async () => {
    const server = await native();
    const service = run({ REDIS_URL: server.url });
    await service.url();
    server.freeze();
    service.signal('SIGTERM');
    await eventually('the first signal is seen', () => service.output.includes('SIGTERM: closing'));
    const second = setInterval(() => service.signal('SIGTERM'), 50);

    const { code } = await service.exit();

    clearInterval(second);
    server.resume();
    expect(code).toBe(1);
    expect(service.output).toContain('SIGTERM: forced');
  });

  it('R4 R5 R9 tells that Redis is gone, goes on without it, and recovers by itself', async () => {
    const server = await native();
    const service = run({ REDIS_URL: server.url, LOG_FORMAT: 'json', APP_RATE_LIMIT: '100000' });
    const url = await service.url();
    expect((await timed(`${url}/health/ready`)).status).toBe(200);
    const linesBefore = connectionLines(service.output).length;

    await server.kill();
    const killedMs = performance.now();
    await eventually('readiness 503', async () => (await timed(`${url}/health/ready`)).status === 503, 2000);
    const noticedMs = performance.now() - killedMs;
    const why = (await (await fetch(`${url}/health/ready`)).json()) as object;
    const requests = await Promise.all([
      timed(`${url}/health/live`),
      timed(`${url}/campaigns/c1`),
      timed(`${url}/campaigns/c2`),
      ...Array.from({ length: 20 }, (_, index) => timed(`${url}/campaigns/c${index + 3}`)),
    ]);
    const add = await notify(url, 'down');
    await server.restart();
    const restartedMs = performance.now();
    await eventually('ready again', async () => (await timed(`${url}/health/ready`)).status === 200, 5000);
    const recoveredMs = performance.now() - restartedMs;
    const after = await notify(url, 'down');

    expect(requests.map(({ status }) => status)).toEqual(requests.map(() => 200));
    expect(Math.max(...requests.map(({ ms }) => ms))).toBeLessThan(2000);
    expect(noticedMs).toBeLessThan(2000);
    expect(why).toMatchObject({
      status: 'error',
      error: {
        redis: { status: 'down', connection: 'default', host: '127.0.0.1', message: expect.any(String) },
      },
    });
    expect(add.status).toBe(503);
    expect(Number(add.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(await add.json()).toMatchObject({ status: 503, code: 'ERR_QUEUE_UNAVAILABLE' });
    expect(after.status).toBe(202);
    const folded = countByRoleAndState(connectionLines(service.output).slice(linesBefore));
    expect([...folded.values()].every((count) => count === 1)).toBe(true);
    process.stderr.write(
      `outage: readiness 503 after ${noticedMs.toFixed(0)} ms, ready ${recoveredMs.toFixed(0)} ms after restart\n`,
    );
  });

  it('R9 answers 503 within 1 s when Redis is frozen, and stays alive', async () => {
    const server = await native();
    const service = run({ REDIS_URL: server.url, APP_RATE_LIMIT: '100000' });
    const url = await service.url();
    expect((await timed(`${url}/health/ready`)).status).toBe(200);

    server.freeze();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const ready = await eventually(
      '503',
      async () => {
        const reply = await timed(`${url}/health/ready`);
        return reply.status === 503 && reply;
      },
      1500,
    );
    const live = await timed(`${url}/health/live`);
    const campaign = await timed(`${url}/campaigns/c9`);
    server.resume();

    expect(ready.ms).toBeLessThan(1000);
    expect(live.status).toBe(200);
    expect(campaign).toMatchObject({ status: 200 });
    expect(campaign.ms).toBeLessThan(2000);
    await eventually('ready again', async () => (await timed(`${url}/health/ready`)).status === 200, 5000);
  });
});

function connectionLines(output: string): { role: string; state: string }[] {
  return output.split('\n').flatMap((line) => {
    if (!line.includes('redis.connection')) return [];
    return [(JSON.parse(line) as { message: { role: string; state: string } }).message];
  });
}

function countByRoleAndState(lines: readonly { role: string; state: string }[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { role, state } of lines)
    counts.set(`${role} ${state}`, (counts.get(`${role} ${state}`) ?? 0) + 1);
  return counts;
}
