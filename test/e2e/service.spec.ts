import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { request as httpRequest } from 'node:http';
import { parseList } from 'structured-headers';
import { EmbeddedRedis } from 'rednest/embedded';
import { ConnectionRegistry, REDIS, type RedisClient } from 'rednest';
import { createApp } from '../../src/app/create-app.js';
import { CampaignStore, InMemoryCampaignStore } from '../../src/app/campaigns/campaign.store.js';
import { KeywordProvider, type SimulatedKeywordProvider } from '../../src/app/keywords/keyword.provider.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { TOPOLOGIES, SINGLE, type RunningTopology, type Topology } from '../support/topologies.js';

interface Reply {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

/** What every combination of HTTP adapter and server must do alike. */
function suite(httpAdapter: 'fastify' | 'express', topology?: Topology): void {
  let app: INestApplication;
  let server: RunningTopology | undefined;
  let url: string;

  beforeAll(async () => {
    server = await topology?.start();
    app = await createApp(
      {
        settings: { port: 0, httpAdapter, queueRole: 'both', rateLimit: 1000, logFormat: 'json' },
        env: {
          REDIS_APP_NAME: `e2e-${randomUUID().slice(0, 8)}`,
          ...server?.env,
        },
        embedded: EmbeddedRedis,
      },
      false,
    );
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    await eventually(
      'every connection is ready',
      async () => (await request('/health')).body['status'] === 'ok',
    );
  }, 40_000);
  afterAll(async () => {
    await app?.close();
    await server?.stop();
  });

  async function request(path: string, init: RequestInit = {}): Promise<Reply> {
    const response = await fetch(`${url}${path}`, { ...init, signal: AbortSignal.timeout(5000) });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Reply['body'],
    };
  }

  function notify(tenantId: string, body: object): Promise<Reply> {
    return request(`/tenants/${tenantId}/notifications`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  const notification = (dedupeKey: string, channel = 'email') => ({
    type: 'welcome',
    channel,
    to: 'a@example.com',
    dedupeKey,
    body: 'Hi',
  });

  it('R9 answers live, ready, all and redis with 200', async () => {
    for (const path of ['/health/live', '/health/ready', '/health', '/health/redis']) {
      expect(await request(path)).toMatchObject({ status: 200, body: { status: 'ok' } });
    }
  });

  it('R9 says where Redis is, connected, latency and role', async () => {
    const { body } = await request('/health/redis');

    expect((body['info'] as { redis: object }).redis).toMatchObject({
      host: expect.any(String),
      port: expect.any(Number),
      connected: true,
      latencyMs: expect.any(Number),
      role: expect.stringMatching(/^(master|cluster)$/),
      serverVersion: expect.any(String),
    });
  });

  it('R29 counts connections per role within the budget: command, producer, worker', async () => {
    const { body } = await request('/health');

    const { roles } = (body['info'] as { connections: { roles: Record<string, { open: number }> } })
      .connections;
    expect(Object.entries(roles).map(([role, { open }]) => [role, open])).toEqual([
      ['command', 1],
      ['producer', 1],
      ['worker', 1],
    ]);
  });

  it('R17 tells by whom limits are decided', async () => {
    const { body } = await request('/health');

    expect((body['info'] as Record<string, unknown>)['rateLimits']).toEqual({
      status: 'up',
      source: 'redis',
      awayForMs: 0,
    });
  });

  it('R12 reads a campaign from the store once and from the cache afterwards', async () => {
    const store = app.get<InMemoryCampaignStore>(CampaignStore, { strict: false });
    const before = store.reads;

    const first = await request('/campaigns/c7');
    const rest = await Promise.all(Array.from({ length: 20 }, () => request('/campaigns/c7')));

    expect(first.body).toMatchObject({ id: 'c7', name: 'Campaign 7' });
    expect(rest.every(({ status, body }) => status === 200 && body['id'] === 'c7')).toBe(true);
    expect(store.reads - before).toBe(1);
  });

  it('answers an unknown campaign and an unknown route with problem documents', async () => {
    for (const path of ['/campaigns/c101', '/nowhere']) {
      const { status, headers, body } = await request(path);
      expect(status).toBe(404);
      expect(headers.get('content-type')).toContain('application/problem+json');
      expect(body).toMatchObject({ title: 'Not Found', status: 404 });
    }
  });

  it('R21 takes a notification, delivers it and shows its state', async () => {
    const { status, body } = await notify('acme', notification(randomUUID()));

    expect(status).toBe(202);
    expect(body).toEqual({ jobId: expect.any(String), deduplicated: false });
    const done = await eventually('the notification is delivered', async () => {
      const reply = await request(`/tenants/acme/notifications/${String(body['jobId'])}`);
      return reply.body['state'] === 'completed' && reply;
    });
    expect(done.body).toMatchObject({ queue: 'notifications__email', result: { channel: 'email' } });
  });

  it('R18 gives the second request with a key the same job', async () => {
    const key = randomUUID();

    const first = await notify('acme', notification(key));
    const second = await notify('acme', notification(key, 'sms'));

    expect([first.status, second.status]).toEqual([202, 202]);
    expect(second.body).toEqual({ jobId: first.body['jobId'], deduplicated: true });
  });

  it('R18 R27 makes exactly one job of 100 concurrent requests and remembers it for 24 h', async () => {
    const key = randomUUID();

    const replies = await Promise.all(Array.from({ length: 100 }, () => notify('burst', notification(key))));

    expect(new Set(replies.map(({ body }) => body['jobId'])).size).toBe(1);
    expect(replies.filter(({ body }) => body['deduplicated'] === false)).toHaveLength(1);
    const { keyPrefix } = app.get(ConnectionRegistry).configuration;
    const ttlMs = await app.get<RedisClient>(REDIS).pttl(`${keyPrefix}:queue:{burst}:once:welcome:${key}`);
    expect(ttlMs).toBeGreaterThanOrEqual(86_340_000);
    expect(ttlMs).toBeLessThanOrEqual(86_400_000);
  });

  it('R18 hides a notification from other tenants', async () => {
    const { body } = await notify('acme', notification(randomUUID()));

    const other = await request(`/tenants/evil/notifications/${String(body['jobId'])}`);

    expect(other.status).toBe(404);
  });

  it('names the fields of a request that is not valid', async () => {
    const { status, headers, body } = await notify('acme', { ...notification('k'), channel: 'pigeon' });

    expect(status).toBe(400);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(body).toMatchObject({ status: 400, errors: [{ field: 'channel' }] });
  });

  it('answers what nobody can mean with problem documents of the client, never with 500', async () => {
    const sent = [
      await request('/campaigns/%E0%A4%A'),
      await request(`/campaigns/${'x'.repeat(5000)}`),
      await request(`/campaigns/${'x'.repeat(5000)}`, {
        method: 'PATCH',
        headers: { 'content-type': 'application/json' },
        body: '{"name":"x"}',
      }),
      await notify('acme', { ...notification('k'), dedupeKey: 'half \ud800' }),
      await notify('acme', { ...notification('k'), type: '\udc00' }),
      await notify('acme', { ...notification('k'), body: 'x'.repeat(200_000) }),
    ];

    const types = new Set(sent.map(({ headers }) => headers.get('content-type')?.split(';')[0]));
    expect([...types]).toEqual(['application/problem+json']);
    expect(sent.map(({ status }) => status)).toEqual(
      httpAdapter === 'fastify' ? [400, 414, 414, 400, 400, 413] : [400, 400, 400, 400, 400, 413],
    );
    expect(sent.every(({ status, body }) => body['status'] === status)).toBe(true);
  });

  it('R17 sends the limit fields on every route but health', async () => {
    const limited = await request('/campaigns/c1');
    const tenant = await request('/tenants/acme/notifications/none');
    const health = await request('/health');

    expect(limited.headers.get('ratelimit-policy')).toBe('"client";q=1000;w=60');
    expect(tenant.headers.get('ratelimit-policy')).toContain('"tenant";q=10000;w=60');
    expect(health.headers.get('ratelimit-policy')).toBeNull();
  });

  it('R17 sends fields that a parser of structured fields reads', async () => {
    const { headers } = await request('/tenants/acme/notifications/none');
    const read = (name: string) =>
      Object.fromEntries(
        parseList(headers.get(name) ?? '').map(([item, parameters]) => [
          String(item),
          Object.fromEntries(parameters),
        ]),
      );

    expect(read('ratelimit-policy')).toEqual({ client: { q: 1000, w: 60 }, tenant: { q: 10_000, w: 60 } });
    expect(read('ratelimit')).toEqual({ client: { r: expect.any(Number), t: expect.any(Number) } });
  });

  it('R16 answers the 11th keyword call of a tenant within a minute with 429 and the right wait', async () => {
    const provider = app.get<SimulatedKeywordProvider>(KeywordProvider, { strict: false });
    const tenant = `t-${randomUUID()}`;
    const search = (text: string, id = tenant) => request(`/tenants/${id}/keywords?q=${text}`);
    const { answered, refused } = provider.counts;

    const beganMs = performance.now();
    const first = await search('shoe-0');
    const firstMs = performance.now();
    const others = await Promise.all(Array.from({ length: 9 }, (_, index) => search(`shoe-${index + 1}`)));
    const askedMs = performance.now();
    const over = await search('shoe-10');
    const answeredMs = performance.now();

    expect([first, ...others].map(({ status }) => status)).toEqual(Array<number>(10).fill(200));
    expect(first.body['keywords']).toContainEqual({ keyword: 'shoe-0', monthlySearches: expect.any(Number) });
    expect(over.status).toBe(429);
    expect(over.headers.get('content-type')).toContain('application/problem+json');
    expect(over.body).toMatchObject({ status: 429, code: 'ERR_OUTBOUND_LIMIT' });
    // A minute and its margin after the first call left, and not before.
    const retryAfterMs = Number(over.body['retryAfterMs']);
    expect(retryAfterMs).toBeLessThanOrEqual(63_000 - (askedMs - firstMs) + 1);
    expect(retryAfterMs).toBeGreaterThanOrEqual(63_000 - (answeredMs - beganMs) - 1);
    expect(over.headers.get('retry-after')).toBe(String(Math.ceil(retryAfterMs / 1000)));
    // What is cached costs nothing, and nobody else is touched.
    expect((await search('shoe-3')).status).toBe(200);
    expect((await search('shoe-10', `other-${tenant}`)).status).toBe(200);
    expect(provider.counts).toEqual({ answered: answered + 11, refused });
  });

  it('R16 passes the wait of a provider on that refuses itself, and does not ask it again', async () => {
    const provider = app.get<SimulatedKeywordProvider>(KeywordProvider, { strict: false });
    const tenant = `t-${randomUUID()}`;
    const search = () => request(`/tenants/${tenant}/keywords?q=${randomUUID()}`);
    // Somebody else uses the same account.
    const statuses = [];
    for (let call = 0; call < 11; call += 1) statuses.push((await provider.search(tenant, 'x')).status);
    const { refused } = provider.counts;

    const answers = [await search(), await search()];

    expect(statuses).toEqual([...Array<number>(10).fill(200), 429]);
    expect(answers.map(({ status }) => status)).toEqual([429, 429]);
    for (const { headers } of answers) {
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(50);
      expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(60);
    }
    expect(provider.counts.refused).toBe(refused + 1);
  });

  it('answers 502 when the provider fails, and keeps nothing of it', async () => {
    const provider = app.get<SimulatedKeywordProvider>(KeywordProvider, { strict: false });
    const path = `/tenants/t-${randomUUID()}/keywords?q=${randomUUID()}`;
    provider.search = () => Promise.resolve(Response.json({ error: 'overloaded' }, { status: 500 }));
    const failed = await request(path);
    delete (provider as { search?: unknown }).search;
    const answered = await request(path);

    expect(failed).toMatchObject({ status: 502, body: { title: 'Bad Gateway', status: 502 } });
    expect(answered.status).toBe(200);
    expect(answered.body['keywords']).toHaveLength(5);
  });

  it('names what is wrong with a keyword search', async () => {
    const { status, body } = await request('/tenants/acme/keywords?q=');

    expect([status, body['title']]).toEqual([400, 'Bad Request']);
  });
}

describe('reference service on Fastify and the embedded engine', () => {
  suite('fastify');
});
describe('reference service on Express and the embedded engine', () => {
  suite('express');
});
describeNative('reference service on Express and a redis-server', () => {
  suite('express', SINGLE);
});
describeNative('reference service on Fastify', () => {
  const names = ['single server', 'TLS with an ACL user', 'Sentinel, 1 + 2', 'Cluster, 3 + 3'];
  describe.each(TOPOLOGIES.filter(({ name }) => names.includes(name)))('and $name', (topology) => {
    suite('fastify', topology);
  });
});

describe('connections of the reference service', () => {
  it('R29 are three and one blocking reader for each worker, and none after the close', async () => {
    const server = await EmbeddedRedis.start();
    const observer = new Redis(server.url);
    const app = await createApp(
      {
        settings: { port: 0, httpAdapter: 'fastify', queueRole: 'both', rateLimit: 1000, logFormat: 'json' },
        env: { REDIS_URL: server.url, REDIS_APP_NAME: 'budget' },
      },
      false,
    );
    await app.listen(0, '127.0.0.1');
    const count = async () =>
      ((await observer.client('LIST')) as string).split('\n').filter((line) => line.includes('name=budget:'))
        .length;

    await eventually('all connections are open', async () => (await count()) === 3 + 17);
    await app.close();

    expect(await count()).toBe(0);
    await observer.quit();
    await server.stop();
  });
});

describe('reference service over its limit', () => {
  it('R17 answers 429 with Retry-After to the client that exceeds it, and never on health', async () => {
    const app = await createApp(
      {
        settings: { port: 0, httpAdapter: 'fastify', queueRole: 'producer', rateLimit: 3, logFormat: 'json' },
        env: { REDIS_APP_NAME: 'e2e-limit' },
        embedded: EmbeddedRedis,
      },
      false,
    );
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();

    const statuses: number[] = [];
    for (let index = 0; index < 4; index += 1) statuses.push((await fetch(`${url}/campaigns/c1`)).status);
    const refused = await fetch(`${url}/campaigns/c1`);
    const health = await fetch(`${url}/health`);

    expect(statuses).toEqual([200, 200, 200, 429]);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(await refused.json()).toMatchObject({ status: 429 });
    expect(health.status).toBe(200);
    await app.close();
  });

  it.each(['fastify', 'express'] as const)(
    'R17 on %s refuses the flood of one tenant, from many addresses, and no other tenant',
    async (httpAdapter) => {
      const app = await createApp(
        {
          settings: { port: 0, httpAdapter, queueRole: 'producer', rateLimit: 3, logFormat: 'json' },
          env: { REDIS_APP_NAME: 'e2e-flood' },
          embedded: EmbeddedRedis,
        },
        false,
      );
      await app.listen(0, '127.0.0.1');
      const url = await app.getUrl();
      const ask = (tenant: string, address: number) =>
        statusFrom(`127.0.1.${address}`, `${url}/tenants/${tenant}/notifications/none`);

      const flood: number[] = [];
      for (let address = 1; address <= 12; address += 1) {
        for (let call = 0; call < 3; call += 1) flood.push(await ask('a', address));
      }
      const other = [await ask('b', 20), await ask('b', 21), await ask('b', 1)];

      // Thirty of the tenant; an address has three, and a refusal costs it none of them.
      expect(flood).toEqual([...Array<number>(30).fill(404), ...Array<number>(6).fill(429)]);
      expect(other).toEqual([404, 404, 429]);
      expect(await ask('b', 12)).toBe(404);
      await app.close();
    },
  );
});

/** Status of a request from one of the addresses of the loopback network. */
function statusFrom(localAddress: string, url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { localAddress, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    request.once('error', reject).end();
  });
}
