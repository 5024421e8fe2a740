// Queues against plain BullMQ in one interleaved run: adds, processing, and fairness between tenants. Started
// by hand, with a built library:
//   SWC_NODE_PROJECT=bench/tsconfig.json node --expose-gc --import @swc-node/register/esm-register bench/queue-figures.ts
// --rounds <n> (default 40 for adds, 100 for processing), --scale <share> (default 1), --only hooks|wrapper|fairness|adds|processing.
//
// What a difference of a few microseconds needs: many short measurements instead of a few long ones. In each round
// every variant runs once, in turns, within a fraction of a second of the others, so that what the machine does meanwhile
// is about the same for all. The figure is the median over rounds of the difference within a round; beside it stands
// its standard error, and the floor against itself (A/A), which has to be about zero. Garbage is collected when it has to be: a
// collection before each measurement would throw away what the compiler knows and cost twice what is measured.
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { Queue } from 'bullmq';
import { ConnectionRegistry } from '../dist/index.js';
import { QueueService, type QueueContract } from '../dist/queue/index.js';
import { startNative } from '../test/support/servers.js';
import { hooks, processing, wrapper } from './lib/queue-processing.js';
import {
  DATA,
  difference,
  Fair,
  figures,
  lanes,
  LANES,
  Plain,
  ratio,
  Runner,
  start,
  WARM_UP,
  type Figures,
} from './lib/queue-setup.js';
import { ServerMeter } from './lib/server-meter.js';
import { percentile, spread } from './lib/statistics.js';

const { values: flags } = parseArgs({
  options: { rounds: { type: 'string' }, scale: { type: 'string' }, only: { type: 'string' } },
});
const ADD_ROUNDS = Number(flags.rounds ?? 40);
const SCALE = Number(flags.scale ?? 1);
const SIZE = { count: Math.ceil(1000 * SCALE), rounds: Number(flags.rounds ?? 100) };

async function measured(into: Figures, meter: ServerMeter, count: number, work: () => Promise<void>) {
  const { result, counters } = await meter.during(async () => {
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    await work();
    const { user, system } = process.cpuUsage(cpu);
    return { ms: performance.now() - startedMs, us: user + system };
  });
  into.clientUs.push(result.us / count);
  into.serverUs.push(counters.cpuUs / count);
  into.perSecond.push((count / result.ms) * 1000);
  into.roundTrips.push(counters.reads / count);
}

function show(title: string, all: ReadonlyMap<string, Figures>): void {
  console.log(`\n${title}`);
  for (const [name, { clientUs, serverUs, perSecond, roundTrips }] of all) {
    const parts = [
      `client ${spread(clientUs).median} us`,
      `server ${spread(serverUs).median} us`,
      `${Math.round(spread(perSecond).median)}/s`,
      `reads ${spread(roundTrips).median}`,
    ];
    console.log(`  ${name.padEnd(34)} ${parts.join('   ')}`);
  }
}

async function adds(url: string, meter: ServerMeter): Promise<void> {
  const app = await start(url, 'producer');
  const registry = app.get(ConnectionRegistry);
  const queues = app.get(QueueService);
  const typed = queues.producer(Plain);
  const fair = queues.producer(Fair);
  const { prefix, defaultJobOptions } = typed.raw.opts;
  const plain = new Queue('bench__bases', {
    connection: registry.client('floor', 'producer'),
    prefix,
    skipWaitingForReady: true,
    skipVersionCheck: true,
    skipMetasUpdate: true,
    defaultJobOptions,
  });
  plain.on('error', () => undefined);
  const own = () =>
    plain.add('work', { rednest: 1, tenantId: 'a', data: DATA }, { jobId: `bench__bases.${randomUUID()}` });
  const variants: [string, (index: number) => Promise<unknown>][] = [
    ['bullmq add', () => plain.add('work', DATA)],
    ['bullmq add, own id and envelope', own],
    ['typed add', (n) => typed.add('work', DATA, { tenantId: `t${n % 50}` })],
    ['fair add, 50 tenants', (n) => fair.add('work', DATA, { tenantId: `t${n % 50}` })],
    ['bullmq add (again)', () => plain.add('work', DATA)],
  ];
  const count = Math.ceil(2000 * SCALE);
  const all = new Map(variants.map(([name]) => [name, figures()]));
  for (let round = -WARM_UP; round < ADD_ROUNDS; round += 1) {
    for (let turn = 0; turn < variants.length; turn += 1) {
      const [name, run] = variants[(round + WARM_UP + turn) % variants.length]!;
      const into = round < 0 ? figures() : all.get(name)!;
      await measured(into, meter, count, () => lanes(count, run));
      await meter.clear();
    }
  }
  show(`Adds, ${LANES} in flight, ${count} per measurement, ${ADD_ROUNDS} rounds`, all);
  const [base, same, ours, shared, again] = [...all.values()];
  console.log(`  typed - bullmq:               client ${difference(ours!.clientUs, base!.clientUs)} us`);
  console.log(`  typed - own id and envelope:  client ${difference(ours!.clientUs, same!.clientUs)} us`);
  console.log(`  bullmq - bullmq (A/A):        client ${difference(again!.clientUs, base!.clientUs)} us`);
  console.log(
    `  fair / typed:                 adds/s ${ratio(shared!.perSecond, ours!.perSecond)}, server +${difference(shared!.serverUs, ours!.serverUs)} us`,
  );
  // One at a time: every read of the server is a round trip.
  for (const [name, run] of variants) {
    const serial = figures();
    await measured(serial, meter, 300, async () => {
      for (let index = 0; index < 300; index += 1) await run(index);
    });
    console.log(`  ${name.padEnd(34)} round trips ${spread(serial.roundTrips).median.toFixed(2)}`);
    await meter.clear();
  }
  await plain.close();
  await app.close();
}

/** 3000 jobs of one tenant, then 30 of another; 10 at a time, 5 ms each. Medians of three runs. */
async function fairness(url: string, meter: ServerMeter): Promise<void> {
  console.log('\nFairness: 3000 jobs of A, then 30 of B; concurrency 10, 5 ms per job; medians of 3 runs');
  const p99 = new Map<QueueContract, number[]>([
    [Plain, []],
    [Fair, []],
  ]);
  for (const [queue, tails] of p99) {
    const middles: number[] = [];
    let inversions = 0;
    for (let run = 0; run < 3; run += 1) {
      const result = await backlog(url, meter, queue);
      tails.push(percentile(result.waits, 0.99));
      middles.push(percentile(result.waits, 0.5));
      inversions += result.inversions;
    }
    console.log(
      `  ${(queue.fair ? 'fair' : 'first come').padEnd(12)} B waits p50 ${Math.round(spread(middles).median)} ms, ` +
        `p99 ${Math.round(spread(tails).median)} ms; inversions within a tenant: ${inversions}`,
    );
  }
  console.log(`  p99 of B, fair / first come: ${ratio(p99.get(Fair)!, p99.get(Plain)!)}`);
}

async function backlog(url: string, meter: ServerMeter, queue: QueueContract) {
  await meter.clear();
  const producer = await start(url, 'producer');
  const mine = producer.get(QueueService).producer(queue);
  for (const [tenantId, count] of [
    ['A', 3000],
    ['B', 30],
  ] as const) {
    for (let n = 0; n < count; n += 1) await mine.add('work', { n }, { tenantId });
  }
  const waits: number[] = [];
  const order = new Map<string, number[]>([
    ['A', []],
    ['B', []],
  ]);
  let startedMs = 0;
  let seen = 0;
  let finish = (): void => undefined;
  const done = new Promise<void>((resolve) => (finish = resolve));
  const runner = new Runner();
  runner.work = async (tenantId, data) => {
    startedMs ||= performance.now();
    order.get(tenantId!)!.push((data as { n: number }).n);
    if (tenantId === 'B') waits.push(performance.now() - startedMs);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if ((seen += 1) === 3030) finish();
  };
  const worker = await start(url, 'worker', runner, 10);
  await done;
  await worker.close();
  await producer.close();
  const inversions = [...order.values()].reduce(
    (sum, ns) => sum + ns.filter((n, index) => index > 0 && n < ns[index - 1]!).length,
    0,
  );
  return { waits: Float64Array.from(waits).sort(), inversions };
}

const server = await startNative();
const meter = await ServerMeter.connect(server.url);
try {
  // The first of them before anything else uses an AsyncLocalStorage.
  for (const [name, section] of Object.entries({ hooks, wrapper, fairness, adds, processing })) {
    if (flags.only === undefined || flags.only === name) await section(server.url, meter, SIZE);
  }
} finally {
  meter.close();
  await server.stop();
}
