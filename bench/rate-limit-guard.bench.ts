// CPU time a guard adds to a request, on Express and Fastify, for one and three policies: ours against
// @nestjs/throttler with its Redis storage, and against no guard. Each variant is a server process of its own; in
// every round each takes a short turn, and figures are differences to "none" of the same round: the machine is faster
// at one time than at another.
// Run: npm run bench -- --only rate-limit-guard [--adapter express|fastify] [--quick] [--json] [--rounds <n>]
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startNative } from '../test/support/servers.js';
import { describeEnvironment } from './lib/environment.js';
import { GUARD_VARIANTS, type GuardVariant } from './lib/guard-variants.js';
import { HttpLoad } from './lib/http-load.js';

const SERVER = fileURLToPath(new URL('lib/guard-server.ts', import.meta.url));
const CONNECTIONS = 32;

const { values: flags } = parseArgs({
  strict: false,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    adapter: { type: 'string' },
  },
});
const ROUNDS = Number(flags['rounds'] ?? (flags['quick'] ? 2 : 50));
/** Few, so that what is compared runs at almost the same time: the machine changes its speed within a second. */
const REQUESTS = 100;
/** Requests to each before its first round: until the compiler is done with what every request runs. */
const WARM_UP = flags['quick'] ? 500 : 6000;
/** Each time all servers are started anew: two processes that do the same differ by more than two rounds do. */
const STARTS = flags['quick'] ? 1 : 2;

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

type Rounds = Record<GuardVariant, number[]>;

async function measureAdapter(adapter: string, url: string): Promise<Rounds> {
  const rounds = Object.fromEntries(GUARD_VARIANTS.map((variant) => [variant, []])) as unknown as Rounds;
  for (let start = 0; start < STARTS; start += 1) await measureServers(adapter, url, rounds);
  return rounds;
}

async function measureServers(adapter: string, url: string, rounds: Rounds): Promise<void> {
  const contestants: Contestant[] = [];
  try {
    for (const variant of GUARD_VARIANTS) contestants.push(await Contestant.start(adapter, variant, url));
    for (const contestant of contestants) await contestant.warmUp(WARM_UP);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (let turn = 0; turn < contestants.length; turn += 1) {
        const contestant = contestants[(round + turn) % contestants.length]!;
        rounds[contestant.variant].push(await contestant.measure());
      }
    }
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.stop()));
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function summarise(rounds: Rounds) {
  const added = (variant: GuardVariant) => rounds[variant].map((cpuUs, round) => cpuUs - rounds.none[round]!);
  // As a share of the request without a guard, so that slow rounds weigh no more than fast ones.
  const share = (variant: GuardVariant) =>
    median(rounds[variant].map((cpuUs, round) => cpuUs / rounds.none[round]! - 1));
  const ratio = (ours: GuardVariant, theirs: GuardVariant) => share(ours) / share(theirs);
  return {
    cpuUs: Object.fromEntries(GUARD_VARIANTS.map((variant) => [variant, median(rounds[variant])])),
    addedUs: Object.fromEntries(GUARD_VARIANTS.map((variant) => [variant, median(added(variant))])),
    ratio: {
      onePolicy: ratio('rednest-1', 'throttler-1'),
      threePolicies: ratio('rednest-3', 'throttler-3'),
    },
    rounds,
  };
}

const environment = describeEnvironment();
const server = await startNative();
const results: Record<string, ReturnType<typeof summarise>> = {};
try {
  for (const adapter of flags['adapter'] ? [String(flags['adapter'])] : ['express', 'fastify']) {
    process.stderr.write(`${adapter}: ${STARTS} x ${ROUNDS} rounds of ${REQUESTS} requests per variant\n`);
    results[adapter] = summarise(await measureAdapter(adapter, server.url));
  }
} finally {
  await server.stop();
}

console.log('| adapter | variant | CPU us per request | added us |\n| --- | --- | --- | --- |');
for (const [adapter, { cpuUs, addedUs }] of Object.entries(results)) {
  for (const variant of GUARD_VARIANTS) {
    console.log(
      `| ${adapter} | ${variant} | ${cpuUs[variant]!.toFixed(1)} | ${addedUs[variant]!.toFixed(1)} |`,
    );
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
