import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { EmbeddedRedis } from 'rednest/embedded';
import { CacheService, getCacheToken } from 'rednest/cache';
import { REDIS, RedisOperations, type RedisClient } from 'rednest';
import { createApp } from '../../src/app/create-app.js';
import { NoActivityLock, ActivityLock } from '../../src/app/activities/activity.lock.js';
import { RESUME_CACHE } from '../../src/app/activities/resume-ids.js';
import { CampaignStore, InMemoryCampaignStore } from '../../src/app/campaigns/campaign.store.js';
import { startCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { TOPOLOGIES, type RunningTopology, type Topology } from '../support/topologies.js';

interface Reply {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

const SETTINGS = { port: 0, queueRole: 'both', rateLimit: 10_000, logFormat: 'json' } as const;
const DAY_MS = 86_400_000;

function client(app: () => INestApplication) {
  return async (path: string, method = 'GET', body?: object): Promise<Reply> => {
    const response = await fetch(`${await app().getUrl()}${path}`, {
      method,
      signal: AbortSignal.timeout(5000),
      ...(body ? { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? {} : JSON.parse(text)) as Reply['body'],
    };
  };
}

/** What campaigns and activities do with the cache, whatever is below. */
function suite(httpAdapter: 'fastify' | 'express', topology?: Topology): void {
  let app: INestApplication;
  let server: RunningTopology | undefined;
  const request = client(() => app);

  beforeAll(async () => {
    server = await topology?.start();
    app = await createApp(
      {
        settings: { ...SETTINGS, httpAdapter },
        env: { REDIS_APP_NAME: `e2e-${randomUUID().slice(0, 8)}`, ...server?.env },
        embedded: EmbeddedRedis,
      },
      false,
    );
    await app.listen(0, '127.0.0.1');
    // A first call that needs longer than the 250 ms of the cache, on a busy machine, computes without it.
    await eventually('the cache is in use', () => app.get(CacheService).set('warm-up', 1));
  }, 40_000);
  afterAll(async () => {
    await app?.close();
    await server?.stop();
  });

  const store = () => app.get<InMemoryCampaignStore>(CampaignStore, { strict: false });
  const cached = (id: string) => app.get(CacheService).getEntry(['campaign', id]);

  it('R12 cache-aside: reads a campaign from the store once, and remembers that there is none', async () => {
    for (const [id, status] of [
      ['c11', 200],
      ['c999', 404],
    ] as const) {
      const before = store().reads;

      const replies = await Promise.all(Array.from({ length: 10 }, () => request(`/campaigns/${id}`)));
      await eventually('it is kept', () => cached(id));
      replies.push(await request(`/campaigns/${id}`));

      expect(new Set(replies.map((reply) => reply.status))).toEqual(new Set([status]));
      expect(store().reads - before).toBe(1);
    }
  });

  it('R12 write-through: a change is in the store and in the cache when it is answered', async () => {
    await request('/campaigns/c12');
    const before = store().reads;

    const changed = await request('/campaigns/c12', 'PATCH', { name: 'Spring', budgetCents: 5 });
    const read = await request('/campaigns/c12');

    expect(changed).toMatchObject({ status: 200, body: { id: 'c12', name: 'Spring', version: 2 } });
    expect(read.body).toEqual(changed.body);
    expect((await cached('c12'))?.tags).toEqual(['campaigns', 'campaign:c12']);
    expect(store().reads).toBe(before);
  });

  it('R12 of many changes at once the cache shows what the store has', async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const names = Array.from({ length: 12 }, (_, index) => `seed ${seed} change ${index}`);

    await Promise.all(
      names.flatMap((name) => [request('/campaigns/c13', 'PATCH', { name }), request('/campaigns/c13')]),
    );

    const stored = await store().find('c13');
    expect([seed, (await request('/campaigns/c13')).body]).toEqual([seed, stored]);
    expect(stored?.version).toBe(13);
  });

  it('refuses a change that says nothing, a field that does not exist, and an unknown campaign', async () => {
    const replies = [
      await request('/campaigns/c14', 'PATCH', {}),
      await request('/campaigns/c14', 'PATCH', { owner: 'x' }),
      await request('/campaigns/c777', 'PATCH', { name: 'x' }),
    ];

    expect(replies.map(({ status }) => status)).toEqual([400, 400, 404]);
  });

  it('R12 tags: a change is seen in the cached lists', async () => {
    const list = async () => {
      const { headers, body } = await request('/campaigns?status=done');
      return {
        xCache: headers.get('x-cache'),
        ids: (body as unknown as { id: string }[]).map(({ id }) => id),
      };
    };

    await list();
    await eventually('the list is kept', async () => (await list()).xCache === 'HIT');
    await request('/campaigns/c15', 'PATCH', { status: 'done' });

    const after = await list();
    expect(after).toMatchObject({ xCache: 'MISS', ids: expect.arrayContaining(['c15']) });
  });

  it('R12 write-behind: views are added up and written together', async () => {
    // Views of the tests before this one are written in batches that would be counted here.
    await eventually('no view waits', async () => {
      const { body } = await request('/campaigns/c16/views');
      return body['pending'] === 0;
    });
    const before = store().viewWrites;

    await Promise.all(Array.from({ length: 25 }, () => request('/campaigns/c16')));
    const { body } = await eventually('they are stored', async () => {
      const reply = await request('/campaigns/c16/views');
      return Number(reply.body['stored']) >= 25 && reply;
    });

    expect(body['stored']).toBe(25);
    // One, or two when a second ends while the requests come.
    expect(store().viewWrites - before).toBeLessThanOrEqual(2);
  });

  it('R15 an activity runs, and its next run continues the conversation', async () => {
    const id = `a-${randomUUID()}`;
    const finished = () =>
      eventually('the run has ended', async () => {
        const reply = await request(`/activities/${id}`);
        return reply.body['state'] === 'succeeded' && reply.body;
      });

    const started = await request(`/activities/${id}/run`, 'POST');
    const first = await finished();
    const again = await request(`/activities/${id}/run`, 'POST');
    const second = await finished();

    expect(started).toMatchObject({ status: 202, body: { activityId: id, runId: expect.any(String) } });
    expect(again.status).toBe(202);
    expect(first['session']).toEqual({ id: expect.stringMatching(/^session-/), resumed: false, turns: 1 });
    expect(second['session']).toEqual({
      id: (first['session'] as { id: string }).id,
      resumed: true,
      turns: 2,
    });
    expect(second['runId']).toBe(again.body['runId']);
  });

  it('R15 R18 an activity of another tenant is another activity: nothing is seen, nothing is continued', async () => {
    const id = `a-${randomUUID()}`;
    const finished = (tenantId: string) =>
      eventually(`the run of ${tenantId} has ended`, async () => {
        const reply = await request(`/activities/${id}?tenantId=${tenantId}`);
        return reply.body['state'] === 'succeeded' && reply.body;
      });

    await request(`/activities/${id}/run`, 'POST', { tenantId: 'acme' });
    const own = await finished('acme');
    const hidden = await request(`/activities/${id}?tenantId=evil`);
    await request(`/activities/${id}/run`, 'POST', { tenantId: 'evil' });
    const other = await finished('evil');
    const again = await request(`/activities/${id}?tenantId=acme`);

    expect(hidden.status).toBe(404);
    expect(other['session']).toMatchObject({ resumed: false, turns: 1 });
    expect(other['session']).not.toMatchObject({ id: (own['session'] as { id: string }).id });
    expect(again.body).toEqual(own);
  });

  it('R15 the id to resume with is kept for 7 days after the last run', async () => {
    const id = `a-${randomUUID()}`;
    await request(`/activities/${id}/run`, 'POST');
    const cache = app.get<CacheService>(getCacheToken(RESUME_CACHE), { strict: false });

    const entry = await eventually('it is kept', () => cache.getEntry(['demo', id]));

    const leftMs = entry.expiresAt.getTime() - Date.now();
    expect(leftMs).toBeGreaterThan(7 * DAY_MS - 60_000);
    expect(leftMs).toBeLessThanOrEqual(7 * DAY_MS + 1_000);
    const ttls: number[] = [];
    for await (const key of app
      .get(RedisOperations)
      .scan({ match: `*:cache:*activity-resume*:entry:*${id}` })) {
      ttls.push(await app.get<RedisClient>(REDIS).pttl(key));
    }
    expect(ttls).toEqual([expect.any(Number)]);
    expect(ttls[0]).toBeGreaterThan(7 * DAY_MS - 60_000);
    expect(ttls[0]).toBeLessThanOrEqual(7 * DAY_MS);
  });

  it('answers 404 for an activity that never ran, and 400 for an id that cannot be one', async () => {
    expect((await request(`/activities/never-${randomUUID()}`)).status).toBe(404);
    expect((await request('/activities/%20/run', 'POST')).status).toBe(400);
    expect((await request('/activities/a1?tenantId=a%20b')).status).toBe(400);
  });

  it('R19 answers 409 while the lock says that somebody works on it', async () => {
    const lock = app.get<NoActivityLock>(ActivityLock, { strict: false });
    lock.isHeld = async () => true;

    const refused = await request('/activities/a1/run', 'POST');
    delete (lock as { isHeld?: unknown }).isHeld;

    expect(refused).toMatchObject({ status: 409, body: { title: 'Conflict', status: 409 } });
    expect((await request('/activities/a1/run', 'POST')).status).toBe(202);
  });
}

describe.each(['fastify', 'express'] as const)('campaigns and activities on %s', (httpAdapter) => {
  describe('and the embedded engine', () => {
    suite(httpAdapter);
  });
});
describeNative('campaigns and activities on Fastify', () => {
  const names = ['single server', 'TLS with an ACL user', 'Sentinel, 1 + 2', 'Cluster, 3 + 3'];
  describe.each(TOPOLOGIES.filter(({ name }) => names.includes(name)))('and $name', (topology) => {
    suite('fastify', topology);
  });
});

async function startEmbedded(): Promise<RunningTopology> {
  const server = await EmbeddedRedis.start();
  return { env: { REDIS_URL: server.url }, stop: () => server.stop() };
}

/** What starts and ends with the service. */
function life(startServers: () => Promise<RunningTopology>, masters: number): void {
  let servers: RunningTopology;
  beforeAll(async () => {
    servers = await startServers();
  }, 40_000);
  afterAll(() => servers?.stop());

  const start = async ({ env }: RunningTopology): Promise<INestApplication> => {
    const app = await createApp(
      {
        settings: { ...SETTINGS, httpAdapter: 'fastify' },
        env: { ...env, REDIS_APP_NAME: `e2e-${randomUUID().slice(0, 8)}` },
      },
      false,
    );
    await app.listen(0, '127.0.0.1');
    return app;
  };

  it('without Redis: campaigns answer from the store, activities say at once when to come back', async () => {
    const lost = await startServers();
    const app = await start(lost);
    const request = client(() => app);
    await lost.stop();

    const read = await request('/campaigns/c1');
    const changed = await request('/campaigns/c1', 'PATCH', { name: 'Offline' });
    const ran = await request('/activities/a1/run', 'POST');
    const found = await request('/activities/a1');

    expect([read.status, changed.status, ran.status, found.status]).toEqual([200, 200, 503, 503]);
    expect((await request('/campaigns/c1')).body).toMatchObject({ name: 'Offline' });
    expect(ran.headers.get('retry-after')).toBe('1');
    await app.close();
  });

  it('R29 cost one connection per master beside the others once the cache is used: tracking', async () => {
    const app = await start(servers);
    const request = client(() => app);
    const roles = async () => {
      const { body } = await request('/health');
      const { connections } = body['info'] as { connections: { roles: Record<string, { open: number }> } };
      return Object.fromEntries(Object.entries(connections.roles).map(([role, { open }]) => [role, open]));
    };
    const before = await roles();

    await request('/campaigns/c1');
    await eventually('it is open', async () => (await roles())['tracking'] === masters);
    const after = await roles();
    await app.close();

    expect(after).toEqual({ ...before, tracking: masters });
  });

  it('lose neither views nor runs when the service stops', async () => {
    const app = await start(servers);
    const request = client(() => app);
    const store = app.get<InMemoryCampaignStore>(CampaignStore, { strict: false });

    const resume = app.get<CacheService>(getCacheToken(RESUME_CACHE), { strict: false });
    const kept: unknown[] = [];
    const set = resume.set.bind(resume);
    resume.set = async (...args) => (kept.push(args[0]), set(...args));
    for (let view = 0; view < 3; view += 1) await request('/campaigns/c2');
    await request('/activities/a1/run', 'POST');
    const running = await eventually('a worker has the run', async () => {
      const { body } = await request('/activities/a1');
      return body['state'] !== 'queued' && body;
    });
    expect(running).toMatchObject({ id: 'a1' });
    await app.close();

    expect(await store.views('c2')).toBe(3);
    expect(kept).toEqual([['demo', 'a1']]);
  });
}

describe('campaigns and activities', () => {
  life(startEmbedded, 1);
});
describeNative('campaigns and activities on a Cluster of 3 masters', () => {
  life(() => startCluster({ masters: 3, replicasPerMaster: 0 }), 3);
});
