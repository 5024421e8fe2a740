import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { ConnectionRegistry } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { OperationLedger, type LedgerReport } from '../support/ledger.js';
import { expectHonest } from '../support/honest.js';
import { describeNative } from '../support/needs.js';
import { UnhandledRejections } from '../support/rejections.js';
import type { TopologyNode } from '../support/topologies-node.js';
import { keysOfShard } from '../support/cluster-slots.js';

/** Writes go on within the node timeout and 2 s of the fault; the rest is room for a loaded machine. */
const MARGIN_MS = 2_000 + 3_000;

describeNative('RedisExecutor on a Cluster in trouble', () => {
  let cluster: TestCluster;
  let module: TestingModule;
  let ledger: OperationLedger;
  let keys: string[];
  const unhandled = new UnhandledRejections();

  beforeAll(async () => {
    unhandled.start();
    cluster = await startCluster();
  }, 40_000);
  beforeEach(async () => {
    module = await createModule({ redis: { env: cluster.env } });
    const { keyPrefix } = inject(module, ConnectionRegistry).configuration;
    keys = Array.from({ length: 60 }, (_, index) => `${keyPrefix}:ops:${index}`);
    const executor = inject(module, ConnectionRegistry).executor();
    ledger = new OperationLedger({
      keys,
      apply: (key, id) => executor.run('ledger.add', (redis) => redis.hincrby(key, id, 1)),
    });
  });
  afterEach(async () => {
    await ledger.stop();
    await module.close();
    await cluster.reform();
  }, 40_000);
  afterAll(async () => {
    await cluster?.stop();
    unhandled.stop();
    expect(unhandled.reasons).toEqual([]);
  });

  async function audit(label: string): Promise<LedgerReport> {
    await ledger.stop();
    const executor = inject(module, ConnectionRegistry).executor();
    const read = (key: string) => executor.run('ledger.read', (redis) => redis.hgetall(key));
    const report = await ledger.audit(read);
    ledger.print(label, report);
    return report;
  }

  /** Breaks the first master under load and waits until its shard takes writes again. */
  async function lose(label: string, fault: () => Promise<TopologyNode>) {
    const shard = keysOfShard(keys, await cluster.slotsOfShard(0));
    ledger.start();
    await eventually('there is load', () => ledger.acknowledged > 200);
    const faultMs = performance.now();
    const old = await fault();
    const { atMs } = await cluster.promoted(old);
    await eventually(
      'the shard takes writes',
      () => shard.some((key) => ledger.ackedSince(atMs, key)),
      20_000,
    );
    const report = await audit(label);
    const promotedMs = Math.round(atMs - faultMs);
    const outageMs = promotedMs + report.resumedAfter(atMs, shard);
    process.stderr.write(`${label}: promoted after ${promotedMs} ms, shard writable after ${outageMs} ms\n`);
    return { report, outageMs, resumedMs: outageMs - promotedMs };
  }

  it('F31 moves 3,000 slots under load without an error, a loss or a duplicate', async () => {
    ledger.start();
    await eventually('there is load', () => ledger.acknowledged > 200);
    const startedMs = performance.now();

    await cluster.reshard(0, 1, 3_000);

    const label = `F31 3,000 slots moved in ${Math.round(performance.now() - startedMs)} ms`;
    const report = await audit(label);
    expectHonest(report);
    expect(report.lost).toBe(0);
    expect(report.verdicts).toMatchObject({ 'not-sent': 0, refused: 0, unknown: 0 });
  }, 60_000);

  it('F29 resumes after a master was killed; nothing hangs or runs twice', async () => {
    const { report, outageMs } = await lose('F29 master killed', () => cluster.killMaster(0));

    expectHonest(report);
    // What was on its way when the master died; nothing after that could be sent.
    expect(report.verdicts.unknown).toBeLessThan(100);
    expect(outageMs).toBeLessThan(cluster.nodeTimeoutMs + MARGIN_MS);
  }, 60_000);

  it('F30 resumes after a master froze; nothing hangs or runs twice', async () => {
    const lost = await lose('F30 master frozen', () => cluster.freezeMaster(0));
    const { report, outageMs, resumedMs } = lost;

    expectHonest(report);
    expect(resumedMs).toBeLessThan(500 + 1_500);
    expect(outageMs).toBeLessThan(cluster.nodeTimeoutMs + MARGIN_MS);
  }, 60_000);

  it('F33 all nodes gone: every call ends, none runs late, and writes resume when they are back', async () => {
    ledger.start();
    await eventually('there is load', () => ledger.acknowledged > 200);
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    const goneMs = performance.now();
    await eventually('two seconds without a node', () => performance.now() - goneMs > 2000);
    await Promise.all(cluster.nodes.map((node) => node.restart()));
    const backMs = performance.now();

    await eventually('writes resume', () => ledger.ackedSince(backMs), 20_000);

    const label = `F33 all nodes gone: writes resume ${Math.round(performance.now() - backMs)} ms after their return`;
    const report = await audit(label);
    expectHonest(report);
  }, 60_000);
});
