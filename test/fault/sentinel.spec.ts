import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import type { Redis } from 'ioredis';
import { ConnectionRegistry } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { OperationLedger } from '../support/ledger.js';
import { expectHonest } from '../support/honest.js';
import { describeNative } from '../support/needs.js';
import { startSentinelSet, type SentinelSet } from '../support/sentinel.js';
import { UnhandledRejections } from '../support/rejections.js';
import type { TopologyNode } from '../support/topologies-node.js';

/** Writes go on within 1.2 s of the announcement of the new primary; the rest is room for a loaded machine. */
const RESUME_MS = 1_200 + 2_000;

describeNative('RedisExecutor through a Sentinel failover', () => {
  let set: SentinelSet;
  let module: TestingModule;
  let ledger: OperationLedger;
  const unhandled = new UnhandledRejections();

  beforeAll(async () => {
    unhandled.start();
    set = await startSentinelSet();
  }, 40_000);
  beforeEach(async () => {
    module = await createModule({ redis: { env: set.env } });
    const { keyPrefix } = inject(module, ConnectionRegistry).configuration;
    ledger = new OperationLedger({
      keys: [`${keyPrefix}:ops`],
      apply: (key, id) =>
        inject(module, ConnectionRegistry)
          .executor()
          .run('ledger.add', (redis) => redis.hincrby(key, id, 1)),
    });
  });
  afterEach(async () => {
    await ledger.stop();
    await module.close();
    await set.reform();
  }, 40_000);
  afterAll(async () => {
    await set?.stop();
    unhandled.stop();
    expect(unhandled.reasons).toEqual([]);
  });

  /** Breaks the primary under load, waits for the promotion and for writes after it, and audits. */
  async function survive(label: string, fault: () => Promise<unknown>) {
    const old = await set.master();
    ledger.start();
    await eventually('there is load', () => ledger.acknowledged > 200);
    const faultMs = performance.now();
    await fault();
    const { node, atMs: promotedAtMs } = await set.promoted(old);
    const atMs = await set.announced(node);
    await eventually('writes go on', () => ledger.ackedSince(atMs), 20_000);
    await settled(node);
    await ledger.stop();
    const executor = inject(module, ConnectionRegistry).executor();
    const report = await ledger.audit((key) => executor.run('ledger.read', (redis) => redis.hgetall(key)));
    const resumedMs = report.resumedAfter(atMs);
    const times = [promotedAtMs, atMs].map((ms) => Math.round(ms - faultMs));
    const story = `promoted after ${times[0]} ms, announced after ${times[1]} ms, resumed ${resumedMs} ms later`;
    ledger.print(`${label}: ${story}`, report);
    return { report, resumedMs };
  }

  /** Writes reach the new primary: the old one may still take some after the promotion. */
  async function settled(node: TopologyNode): Promise<void> {
    const client = inject(module, ConnectionRegistry).client();
    await eventually(
      'the client is at the new primary',
      () => (client as { stream?: { remotePort?: number } }).stream?.remotePort === node.port,
      15_000,
    );
    const sinceMs = performance.now();
    await eventually('writes go on there', () => ledger.ackedSince(sinceMs), 10_000);
  }

  it('F25 resumes after the primary was killed; nothing hangs, runs twice or is lost', async () => {
    const { report, resumedMs } = await survive('F25 primary killed', () => set.killMaster());

    expectHonest(report);
    expect(resumedMs).toBeLessThan(RESUME_MS);
  }, 60_000);

  it('F26 resumes after the primary froze; nothing hangs, runs twice or is lost', async () => {
    const { report, resumedMs } = await survive('F26 primary frozen', () => set.freezeMaster());

    expectHonest(report);
    expect(resumedMs).toBeLessThan(RESUME_MS);
  }, 60_000);

  it('connects also when the news of a failover breaks off the attempt', async () => {
    const registry = inject(module, ConnectionRegistry);
    const client = registry.client() as Redis;
    let brokenOff = 0;
    client.on('connecting', () => {
      brokenOff += 1;
      // What the client does when a Sentinel tells of another primary.
      (client as unknown as { connector: { disconnect(): void } }).connector.disconnect();
    });

    await registry.client('default', 'producer').call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await eventually('it has tried to connect', () => brokenOff > 0);
    await eventually('it is connected', () => client.status === 'ready');

    await expect(client.ping()).resolves.toBe('PONG');
  });

  it('F27 follows a failover that an operator asked for; nothing hangs or runs twice', async () => {
    const { report, resumedMs } = await survive('F27 manual failover', () => set.failover());

    expectHonest(report);
    expect(resumedMs).toBeLessThan(RESUME_MS);
  }, 60_000);
});
