import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { EmbeddedRedis } from 'rednest/embedded';
import { QueueService } from 'rednest/queue';
import { AGENT_ROLES, AgentQueues } from '../../src/app/agents/agent-queues.js';
import { createApp } from '../../src/app/create-app.js';
import { MESSAGE_LIMIT } from '../../src/app/notifications/message-provider.js';
import { IngestionService } from '../../src/app/rag/ingestion.js';
import { eventually } from '../support/eventually.js';
import { queueDiagnostics } from '../support/queue-diagnostics.js';

describe('the queues of the service', () => {
  let app: INestApplication;
  let url: string;
  beforeAll(async () => {
    app = await createApp(
      {
        settings: {
          port: 0,
          httpAdapter: 'fastify',
          queueRole: 'both',
          rateLimit: 10_000,
          logFormat: 'json',
        },
        env: { REDIS_APP_NAME: `e2e-${randomUUID().slice(0, 8)}` },
        embedded: EmbeddedRedis,
      },
      false,
    );
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  }, 40_000);
  afterAll(() => app?.close());

  async function request(path: string, init: RequestInit = {}) {
    const response = await fetch(`${url}${path}`, { ...init, signal: AbortSignal.timeout(5000) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  it('R20 run an agent of each role for an activity, seen by its tenant only', async () => {
    const agents = app.get(AgentQueues, { strict: false });
    const ids = await Promise.all(
      AGENT_ROLES.map((role) => agents.run('acme', { activityId: `a-${role}`, role })),
    );

    for (const [index, role] of AGENT_ROLES.entries()) {
      const job = await eventually(`the ${role} is done`, async () => {
        const found = await agents.find('acme', ids[index]!);
        return found?.state === 'completed' && found;
      });
      expect(job).toMatchObject({ queue: `agent__${role}`, result: { activityId: `a-${role}` } });
      expect(await agents.find('evil', ids[index]!)).toBeUndefined();
    }
  });

  it('take a version of a document once', async () => {
    const ingestion = app.get(IngestionService, { strict: false });

    const first = await ingestion.ingest('acme', 'd1', 1, 'x'.repeat(2500));
    const again = await ingestion.ingest('acme', 'd1', 1, 'x');
    const next = await ingestion.ingest('acme', 'd1', 2, 'x');

    expect(again).toBe(first);
    expect(next).not.toBe(first);
  });

  it('R16 R21 put notifications off that the limit of their provider does not let through, and deliver them then', async () => {
    const heard = queueDiagnostics('postponed');
    const send = async (n: number) => {
      const { status, body } = await request('/tenants/limited/notifications', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'promo', channel: 'sms', to: '+420', dedupeKey: `k${n}`, body: 'Hi' }),
      });
      expect(status).toBe(202);
      return String(body['jobId']);
    };

    // Held until all are there: on a slow machine they would come too slowly to meet the limit.
    const { raw } = app.get(QueueService, { strict: false }).producer('notifications__sms');
    await raw.pause();
    const jobIds = await Promise.all(Array.from({ length: MESSAGE_LIMIT.limit + 10 }, (_, n) => send(n)));
    await raw.resume();

    for (const jobId of jobIds) {
      const job = await eventually('delivered', async () => {
        const found = await request(`/tenants/limited/notifications/${jobId}`);
        return found.body['state'] === 'completed' && found.body;
      });
      expect(job).toMatchObject({ attemptsMade: 1, result: { channel: 'sms' } });
    }
    const postponed = new Set(heard.list.map((event) => event.jobId));
    heard.end();
    process.stdout.write(
      `${postponed.size} of ${jobIds.length} notifications were put off, ${heard.list.length} times\n`,
    );
    expect(postponed.size).toBeGreaterThan(0);
    expect(jobIds).toEqual(expect.arrayContaining([...postponed]));
    expect(heard.list[0]).toMatchObject({ queue: 'notifications__sms', tenantId: 'limited' });
  });

  it('R9 are part of /health, all 17 of them', async () => {
    const { status, body } = await request('/health');

    expect(status).toBe(200);
    expect(body['details']).toMatchObject({
      queues: { status: 'up', queues: 17, waiting: expect.any(Number), failedLast5Min: 0 },
    });
  });
});
