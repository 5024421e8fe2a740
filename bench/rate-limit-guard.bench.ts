// CPU time a guard adds to a request, on Express and Fastify, for one and three policies: ours against
// @nestjs/throttler with its Redis storage, and against no guard. Each variant is a server process of its own; in
// every round each takes a short turn, because the machine is faster at one time than at another. All servers are
// started anew many times: two processes that do the same differ by more (what the compiler made of them, where their
// memory lies) than a guard costs. Each start gives one figure per variant, the median of its rounds; what a guard
// adds is the mean over all starts, with its standard error.
// Run: npm run bench -- --only rate-limit-guard [--adapter express|fastify] [--quick] [--json] [--starts <n>]
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startNative } from '../test/support/servers.js';
import { describeEnvironment } from './lib/environment.js';
import { GUARD_VARIANTS, type GuardVariant } from './lib/guard-variants.js';
import { HttpLoad } from './lib/http-load.js';
import { meanOf, spread, type Mean } from './lib/statistics.js';

const SERVER = fileURLToPath(new URL('lib/guard-server.ts', import.meta.url));
const CONNECTIONS = 32;

const { values: flags } = parseArgs({
  strict: false,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    starts: { type: 'string' },
    adapter: { type: 'string' },
  },
});
const STARTS = Number(flags['starts'] ?? (flags['quick'] ? 2 : 10));
/** Turns of every server per start. */
const ROUNDS = flags['quick'] ? 2 : 15;
/** Few, so that what is compared runs at almost the same time. */
const REQUESTS = 200;
/** Requests to each before its first round: until the compiler is done with what every request runs. */
const WARM_UP = flags['quick'] ? 500 : 6000;

/** A server process under load. */
class Contestant {
  private load: HttpLoad | undefined;

  private constructor(
    readonly variant: GuardVariant,
    private readonly child: ChildProcess,
    private readonly port: number,
  ) {}

  static async start(adapter: string, variant: GuardVariant, url: string): Promise<Contestant> {
    const child = fork(SERVER, [adapter, variant, url], {
      env: { ...process.env, NODE_ENV: 'production' },
    });
    const [port] = (await once(child, 'message')) as [number];
    return new Contestant(variant, child, port);
  }

  /** Sends requests that nobody measures, to warm up the compiler, the connection and the script cache. */
  async warmUp(requests: number): Promise<void> {
    const load = await HttpLoad.open(this.port, CONNECTIONS);
    await load.send(requests).finally(() => load.close());
  }

  /** Microseconds of CPU time per request. */
  async measure(): Promise<number> {
    // Not before its first turn: a server closes connections that wait too long.
    this.load ??= await HttpLoad.open(this.port, CONNECTIONS);
    await this.load.send(CONNECTIONS);
    const before = await this.cpuUs();
    await this.load.send(REQUESTS);
    return ((await this.cpuUs()) - before) / REQUESTS;
  }

  async stop(): Promise<void> {
    this.load?.close();
    this.child.disconnect();
    await once(this.child, 'exit');
  }

  private async cpuUs(): Promise<number> {
    const answer = once(this.child, 'message');
    this.child.send('cpu');
    const [{ user, system }] = (await answer) as [NodeJS.CpuUsage];
    return user + system;
  }
}

/** Microseconds of CPU time per request and variant, one figure per start. */
type Starts = Record<GuardVariant, number[]>;

async function measureAdapter(adapter: string, url: string): Promise<Starts> {
  const starts = forEachVariant((): number[] => []);
  for (let start = 0; start < STARTS; start += 1) {
    const rounds = await measureServers(adapter, url, start);
    for (const variant of GUARD_VARIANTS) starts[variant].push(spread(rounds[variant]).median);
  }
  return starts;
}

async function measureServers(adapter: string, url: string, start: number): Promise<Starts> {
  const rounds = forEachVariant((): number[] => []);
  const contestants: Contestant[] = [];
  try {
    for (const variant of GUARD_VARIANTS) contestants.push(await Contestant.start(adapter, variant, url));
    for (const contestant of contestants) await contestant.warmUp(WARM_UP);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (let turn = 0; turn < contestants.length; turn += 1) {
        const contestant = contestants[(start + round + turn) % contestants.length]!;
        rounds[contestant.variant].push(await contestant.measure());
      }
    }
    return rounds;
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.stop()));
  }
}

function forEachVariant<T>(value: (variant: GuardVariant) => T): Record<GuardVariant, T> {
  return Object.fromEntries(GUARD_VARIANTS.map((variant) => [variant, value(variant)])) as Record<
    GuardVariant,
    T
  >;
}

function summarise(starts: Starts) {
  const added = forEachVariant((variant) => meanOf(starts[variant].map((us, i) => us - starts.none[i]!)));
  return {
    cpuUs: forEachVariant((variant) => meanOf(starts[variant]).mean),
    addedUs: added,
    ratio: {
      onePolicy: added['rednest-1'].mean / added['throttler-1'].mean,
      threePolicies: added['rednest-3'].mean / added['throttler-3'].mean,
    },
    starts,
  };
}

const shown = ({ mean, error }: Mean): string => `${mean.toFixed(1)} +/- ${error.toFixed(1)}`;

const environment = describeEnvironment();
const server = await startNative();
const results: Record<string, ReturnType<typeof summarise>> = {};
try {
  for (const adapter of flags['adapter'] ? [String(flags['adapter'])] : ['express', 'fastify']) {
    process.stderr.write(
      `${adapter}: ${STARTS} starts, ${ROUNDS} rounds of ${REQUESTS} requests per variant\n`,
    );
    results[adapter] = summarise(await measureAdapter(adapter, server.url));
  }
} finally {
  await server.stop();
}

console.log('| adapter | variant | CPU us per request | added us |\n| --- | --- | --- | --- |');
for (const [adapter, { cpuUs, addedUs }] of Object.entries(results)) {
  for (const variant of GUARD_VARIANTS) {
    console.log(`| ${adapter} | ${variant} | ${cpuUs[variant].toFixed(1)} | ${shown(addedUs[variant])} |`);
  }
}
for (const [adapter, { ratio }] of Object.entries(results)) {
  const [one, three] = [ratio.onePolicy.toFixed(2), ratio.threePolicies.toFixed(2)];
  console.log(
    `${adapter}: added CPU as a share of the throttler's: ${one} (1 policy), ${three} (3 policies)`,
  );
}
if (flags['json']) {
  const date = new Date().toISOString().slice(0, 10);
  const name = `${date}-rate-limit-guard.json`;
  const content = { date, connections: CONNECTIONS, requests: REQUESTS, environment, results };
  await writeFile(new URL(`results/${name}`, import.meta.url), `${JSON.stringify(content, null, 2)}\n`);
  console.log(`\nwritten: bench/results/${name}`);
}
