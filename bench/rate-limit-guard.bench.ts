// CPU time a guard adds to a request, on Express and Fastify, for one and three policies: ours against
// @nestjs/throttler with its Redis storage, and against no guard. Each variant is a server process of its own; in
// every round each takes a turn, and figures are differences to "none" of the same round.
// Run: npm run bench -- --only rate-limit-guard [--quick] [--json] [--rounds <n>]
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
  },
});
const ROUNDS = Number(flags['rounds'] ?? (flags['quick'] ? 2 : 9));
const REQUESTS = flags['quick'] ? 500 : 3000;

/** A server process under load. */
class Contestant {
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

  /** Microseconds of CPU time per request. */
  async measure(): Promise<number> {
    // Anew each time: a server closes connections that wait too long for their turn.
    const load = await HttpLoad.open(this.port, CONNECTIONS);
    try {
      await load.send(CONNECTIONS);
      const before = await this.cpuUs();
      await load.send(REQUESTS);
      return ((await this.cpuUs()) - before) / REQUESTS;
    } finally {
      load.close();
    }
  }

  async stop(): Promise<void> {
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
  const contestants: Contestant[] = [];
  try {
    for (const variant of GUARD_VARIANTS) contestants.push(await Contestant.start(adapter, variant, url));
    const rounds = Object.fromEntries(GUARD_VARIANTS.map((variant) => [variant, []])) as unknown as Rounds;
    // The first three warm up the compiler, the connections and the script cache.
    for (let round = -3; round < ROUNDS; round += 1) {
      for (let turn = 0; turn < contestants.length; turn += 1) {
        const contestant = contestants[(round + 3 + turn) % contestants.length]!;
        const cpuUs = await contestant.measure();
        if (round >= 0) rounds[contestant.variant].push(cpuUs);
      }
    }
    return rounds;
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
  const ratio = (ours: GuardVariant, theirs: GuardVariant) =>
    median(added(ours).map((us, round) => us / added(theirs)[round]!));
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
  for (const adapter of ['express', 'fastify']) {
    process.stderr.write(`${adapter}: ${ROUNDS} rounds of ${REQUESTS} requests per variant\n`);
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
