// Runs the benchmarks. `--quick` proves that they work, `--json` writes the results down.
import { parseArgs } from 'node:util';
import { nativeBinary, startEmbedded, startNative, type TestServer } from '../test/support/servers.js';
import { bootBench } from './boot.bench.js';
import { cacheBenches } from './cache.bench.js';
import { executorBench } from './executor.bench.js';
import { startApplication } from './lib/application.js';
import type { Bench } from './lib/bench.js';
import { describeEnvironment } from './lib/environment.js';
import { LANES, measure, type Effort } from './lib/measure.js';
import { publish } from './lib/publish.js';
import { environmentLines, tables, type BenchResult, type Results, type ServerResult } from './lib/report.js';
import { ServerMeter } from './lib/server-meter.js';
import { summarise } from './lib/summary.js';
import { queueBench } from './queue.bench.js';
import { rateLimitBench } from './rate-limit.bench.js';

const BENCHES: readonly Bench[] = [executorBench, ...cacheBenches, rateLimitBench, queueBench];

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    server: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    scale: { type: 'string' },
    revision: { type: 'string' },
  },
});

/** Rounds per kind of server; the native one carries the figures that gates look at. */
const ROUNDS = flags.quick ? { native: 1, embedded: 1, boot: 1 } : { native: 11, embedded: 5, boot: 9 };
const SCALE = Number(flags.scale ?? (flags.quick ? 0.05 : 1));

function isWanted(list: readonly string[] | undefined, name: string): boolean {
  return list === undefined || list.includes(name);
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function benchServer(server: TestServer, effort: Effort): Promise<ServerResult> {
  const meter = await ServerMeter.connect(server.url);
  const application = await startApplication(server.url, meter);
  const benches: BenchResult[] = [];
  try {
    for (const bench of BENCHES.filter(({ capability }) => isWanted(flags.only, capability))) {
      progress(`${server.kind}: ${bench.capability}`);
      await meter.clear();
      const { operation, samples } = await measure(bench, application, effort);
      const sum = (mode: 'sequential' | 'concurrent') =>
        summarise(samples[mode], mode, server.kind === 'native');
      benches.push({
        capability: bench.capability,
        operation,
        operationsPerMeasurement: {
          sequential: Math.ceil(bench.sequential * effort.scale),
          concurrent: Math.ceil(bench.concurrent * effort.scale),
        },
        modes: { sequential: sum('sequential'), concurrent: sum('concurrent') },
      });
    }
    return { kind: server.kind, version: meter.version, rounds: effort.rounds, benches };
  } finally {
    await application.close();
    meter.close();
  }
}

async function withServer<T>(
  start: () => Promise<TestServer>,
  use: (server: TestServer) => Promise<T>,
): Promise<T> {
  const server = await start();
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}

async function run(): Promise<Results> {
  const environment = describeEnvironment();
  const servers: ServerResult[] = [];
  const starters = { native: () => startNative(), embedded: startEmbedded };
  const available = nativeBinary() ? (['native', 'embedded'] as const) : (['embedded'] as const);
  if (available.length === 1) progress('no redis-server found: embedded server only, no server CPU');
  const wanted = available.filter((kind) => isWanted(flags.server, kind));
  for (const kind of wanted) {
    const effort = { rounds: Number(flags.rounds ?? ROUNDS[kind]), scale: SCALE };
    servers.push(await withServer(starters[kind], (server) => benchServer(server, effort)));
  }
  const boot = isWanted(flags.only, 'boot')
    ? await withServer(starters[available[0]], (server) => {
        progress('boot');
        return bootBench(server.url, ROUNDS.boot);
      })
    : [];
  return {
    date: new Date().toISOString().slice(0, 10),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    ...(flags.revision === undefined ? {} : { revision: flags.revision }),
    callsInFlight: LANES,
    environment,
    servers,
    boot: { rounds: ROUNDS.boot, variants: boot },
  };
}

const results = await run();
process.stdout.write(`${environmentLines(results).join('\n')}\n\n${tables(results)}\n`);
if (flags.json) process.stdout.write(`\nwritten: bench/results/${await publish(results)}\n`);
