import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { MESSAGE_LIMIT } from '../../src/app/notifications/message-provider.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { ServiceProcess } from '../support/service.js';

interface Reply {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

describeNative('the service as one process that takes work and another that does it', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'rednest-roles-'));
  let server: NativeServer;
  let producer: ServiceProcess;
  let worker: ServiceProcess;
  let url: string;

  const start = (role: 'producer' | 'worker'): ServiceProcess =>
    new ServiceProcess(
      { REDIS_URL: server.url, REDIS_APP_NAME: 'roles', QUEUE_ROLE: role, APP_RATE_LIMIT: '100000' },
      cwd,
    );

  beforeAll(async () => {
    server = await startNative();
    producer = start('producer');
    worker = start('worker');
    url = await producer.url();
    await worker.url();
  }, 40_000);
  afterAll(async () => {
    await producer?.kill();
    await worker?.kill();
    await server?.stop();
    rmSync(cwd, { recursive: true, force: true });
  });

  async function request(path: string, body?: object): Promise<Reply> {
    const response = await fetch(`${url}${path}`, {
      ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(5000),
    });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Reply['body'],
    };
  }

  const ended = (activityId: string, runId: unknown, tenantId = 'demo') =>
    eventually(
      `run ${String(runId)} has ended`,
      async () => {
        const { body } = await request(`/activities/${activityId}?tenantId=${tenantId}`);
        expect(body['runId']).toBe(runId);
        return body['state'] === 'succeeded' && body;
      },
      20_000,
    );

  it('R15 R20 a run that one takes is done by the other, and the next one continues its conversation', async () => {
    const started = await request('/activities/a1/run', { tenantId: 'acme', role: 'writer' });
    const first = await ended('a1', started.body['runId'], 'acme');
    const again = await request('/activities/a1/run', { tenantId: 'acme', role: 'editor' });
    const second = await ended('a1', again.body['runId'], 'acme');

    expect(started).toMatchObject({
      status: 202,
      body: {
        tenantId: 'acme',
        activityId: 'a1',
        runId: expect.stringMatching(/^agent__writer\.[0-9a-f-]{36}$/),
      },
    });
    expect(again.body['runId']).toMatch(/^agent__editor\./);
    const { id } = first['session'] as { id: string };
    expect(first['session']).toEqual({ id, resumed: false, turns: 1 });
    expect(second['session']).toEqual({ id, resumed: true, turns: 2 });
    expect(second['resume']).toMatchObject({ sessionId: id });
  });

  it('R20 takes runs while no worker lives; the next one does them, the last one taken is the one shown', async () => {
    worker.signal('SIGTERM');
    expect(await worker.exit()).toEqual({ code: 0, signal: null });

    const taken: unknown[] = [];
    for (let run = 0; run < 3; run += 1) taken.push((await request('/activities/a2/run', {})).body['runId']);
    const waiting = await request('/activities/a2');
    worker = start('worker');
    await worker.url();
    const last = await ended('a2', taken[2]);

    expect(new Set(taken).size).toBe(3);
    expect(waiting.body).toMatchObject({ runId: taken[2], state: 'queued', resume: null });
    expect(last).toMatchObject({ runId: taken[2], state: 'succeeded' });
    const redis = new Redis(server.url);
    const runs = await redis.keys('roles:activity:{a2}:run:*');
    const states = await eventually('all runs have ended', async () => {
      const all = (await redis.mget(runs)).map((text) => (JSON.parse(text!) as { state: string }).state);
      return all.every((state) => state === 'succeeded') && all;
    });
    expect(states).toHaveLength(3);
    redis.disconnect();
  }, 60_000);

  it('R16 R21 an outgoing limit in the worker delays jobs and spends none of their attempts', async () => {
    const send = async (n: number): Promise<string> => {
      const { status, body } = await request('/tenants/limited/notifications', {
        type: 'promo',
        channel: 'sms',
        to: '+420',
        dedupeKey: `k${n}`,
        body: 'Hi',
      });
      expect(status).toBe(202);
      return String(body['jobId']);
    };
    const find = async (jobId: string) => (await request(`/tenants/limited/notifications/${jobId}`)).body;

    // All are there before the worker is: on a slow machine they would come too slowly to meet the limit.
    worker.signal('SIGTERM');
    await worker.exit();
    const jobIds = await Promise.all(Array.from({ length: MESSAGE_LIMIT.limit + 10 }, (_, n) => send(n)));
    worker = start('worker');
    const delayed = await eventually(
      'jobs are delayed',
      async () => {
        const jobs = await Promise.all(jobIds.map(find));
        const found = jobs.filter((job) => job['state'] === 'delayed');
        return found.length > 0 && found;
      },
      20_000,
    );
    const delivered = await eventually(
      'all are delivered',
      async () => {
        const jobs = await Promise.all(jobIds.map(find));
        return jobs.every((job) => job['state'] === 'completed') && jobs;
      },
      20_000,
    );

    process.stdout.write(
      `${delayed.length} of ${jobIds.length} notifications seen delayed by the limit of the worker\n`,
    );
    expect(delayed.map((job) => job['attemptsMade'])).toEqual(delayed.map(() => 0));
    expect(delivered.map((job) => job['attemptsMade'])).toEqual(jobIds.map(() => 1));
  }, 60_000);
});
