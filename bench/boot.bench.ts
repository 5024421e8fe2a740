// From the start of the process to an application that is ready: bare Nest, with RedisModule on a
// server that runs, and with the embedded server started on the way.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { spread, type Spread } from './lib/statistics.js';

const PROCESS = fileURLToPath(new URL('./lib/boot-process.mjs', import.meta.url));

const VARIANTS = {
  'bare Nest application': 'bare',
  'RedisModule, server running': 'server',
  'RedisModule, embedded server started': 'embedded',
  'bare Nest application (again)': 'bare',
} as const;

/** Boot times of one variant over all rounds, in milliseconds. */
export interface BootSummary {
  readonly name: string;
  /** From the start of the process until the application is ready. */
  readonly totalMs: Spread;
  /** Loading Rednest's modules, after Nest's. */
  readonly loadMs: Spread;
  /** Creating and initialising the application. */
  readonly bootMs: Spread;
  /** Total, minus that of the bare application in the same round. */
  readonly overFloorMs: Spread;
}

type Boot = Record<'totalMs' | 'loadMs' | 'bootMs', number>;

/** Boots every variant once per round. */
export async function bootBench(url: string, rounds: number): Promise<BootSummary[]> {
  const boots = new Map<string, Boot[]>(Object.keys(VARIANTS).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, variant] of Object.entries(VARIANTS)) boots.get(name)!.push(await boot(variant, url));
  }
  const [floor = []] = boots.values();
  return [...boots].map(([name, own]) => ({
    name,
    totalMs: spread(own.map(({ totalMs }) => totalMs)),
    loadMs: spread(own.map(({ loadMs }) => loadMs)),
    bootMs: spread(own.map(({ bootMs }) => bootMs)),
    overFloorMs: spread(own.map(({ totalMs }, index) => totalMs - floor[index]!.totalMs)),
  }));
}

async function boot(variant: string, url: string): Promise<Boot> {
  const child = spawn(process.execPath, [PROCESS, variant, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 30_000,
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (code !== 0) throw new Error(`booting "${variant}" ended with ${String(code)}`);
  return JSON.parse(output) as Boot;
}
