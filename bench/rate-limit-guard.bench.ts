// CPU time a guard adds to a request, on Express and Fastify, for one and three policies: ours against
// @nestjs/throttler with its Redis storage, and against no guard. All of them run in one server process, which a guard
// does not share with the load, and in every round each takes a short turn: between two processes that do the same, and
// between two seconds of one machine, lies more than a guard costs. What it adds is the median over the rounds of a
// process, then the mean over several processes, with its standard error.
// Run: npm run bench -- --only rate-limit-guard [--adapter express|fastify] [--quick] [--json] [--starts <n>]
import { fork, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
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
const STARTS = Number(flags['starts'] ?? (flags['quick'] ? 2 : 3));
/** Turns of every variant per start. */
const ROUNDS = flags['quick'] ? 2 : 10;
/** Many, because garbage is collected in portions. */
const REQUESTS = flags['quick'] ? 200 : 2000;
/** Rounds that do not count: until the compiler is done with what every request runs. */
const WARM_UP = 3;

/**
 * Room for objects that live for a request. With the default of 16 MB, Express spends half of its time on collecting
 * garbage, and that time changes by more than a guard costs.
 */
const YOUNG_GENERATION = ['--min-semi-space-size=64', '--max-semi-space-size=64'];

/** The server process under load. */
class ServerUnderLoad {
  private readonly loads = new Map<GuardVariant, HttpLoad>();

  private constructor(
    private readonly child: ChildProcess,
    private readonly ports: readonly number[],
  ) {}

  static async start(adapter: string, url: string): Promise<ServerUnderLoad> {
    const child = fork(SERVER, [adapter, url], {
      env: { ...process.env, NODE_ENV: 'production' },
      execArgv: [...process.execArgv, ...YOUNG_GENERATION],
    });
    const [ports] = (await once(child, 'message')) as [number[]];
    return new ServerUnderLoad(child, ports);
  }

  /** Microseconds of CPU time per request. */
  async measure(variant: GuardVariant): Promise<number> {
    const load = await this.load(variant);
    // A first turn that does not count: what another variant left behind is over then.
    await load.send(CONNECTIONS);
    const before = await this.cpuUs();
    await load.send(REQUESTS);
    return ((await this.cpuUs()) - before) / REQUESTS;
  }

  async stop(): Promise<void> {
    for (const load of this.loads.values()) load.close();
    this.child.disconnect();
    await once(this.child, 'exit');
  }

  private async load(variant: GuardVariant): Promise<HttpLoad> {
    let load = this.loads.get(variant);
    if (!load) {
      load = await HttpLoad.open(this.ports[GUARD_VARIANTS.indexOf(variant)]!, CONNECTIONS);
      this.loads.set(variant, load);
    }
    return load;
  }

  private async cpuUs(): Promise<number> {
    const answer = once(this.child, 'message');
    this.child.send('cpu');
    const [{ user, system }] = (await answer) as [NodeJS.CpuUsage];
    return user + system;
  }
}

/** Microseconds of CPU time per request, one figure per start. */
type Starts = Record<GuardVariant, number[]>;

interface Figures {
  readonly cpuUs: Starts;
  /** Median over the rounds of the difference to no guard in the same round. */
  readonly addedUs: Starts;
}

async function measureAdapter(adapter: string, url: string): Promise<Figures> {
  const figures: Figures = { cpuUs: forEachVariant(() => []), addedUs: forEachVariant(() => []) };
  for (let start = 0; start < STARTS; start += 1) {
    const rounds = await measureServer(adapter, url);
    for (const variant of GUARD_VARIANTS) {
      const added = rounds[variant].map((us, round) => us - rounds.none[round]!);
      figures.cpuUs[variant].push(spread(rounds[variant]).median);
      figures.addedUs[variant].push(spread(added).median);
    }
  }
  return figures;
}

async function measureServer(adapter: string, url: string): Promise<Starts> {
  const rounds: Starts = forEachVariant(() => []);
  const server = await ServerUnderLoad.start(adapter, url);
  try {
    for (let round = -WARM_UP; round < ROUNDS; round += 1) {
      for (const variant of shuffled(GUARD_VARIANTS)) {
        const us = await server.measure(variant);
        if (round >= 0) rounds[variant].push(us);
      }
    }
    return rounds;
  } finally {
    await server.stop();
  }
}

/** None always follows the same other one: it leaves garbage to it. */
function shuffled<T>(items: readonly T[]): T[] {
  const left = [...items];
  return items.map(() => left.splice(randomInt(left.length), 1)[0]!);
}

function forEachVariant<T>(value: (variant: GuardVariant) => T): Record<GuardVariant, T> {
  return Object.fromEntries(GUARD_VARIANTS.map((variant) => [variant, value(variant)])) as Record<
    GuardVariant,
    T
  >;
}

function summarise({ cpuUs, addedUs }: Figures) {
  const added = forEachVariant((variant) => meanOf(addedUs[variant]));
  return {
    cpuUs: forEachVariant((variant) => meanOf(cpuUs[variant]).mean),
    addedUs: added,
    ratio: {
      onePolicy: added['rednest-1'].mean / added['throttler-1'].mean,
      threePolicies: added['rednest-3'].mean / added['throttler-3'].mean,
    },
    starts: { cpuUs, addedUs },
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
