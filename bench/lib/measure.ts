import { again, type Bench, type Scenario, type Variant } from './bench.js';
import type { BenchApplication } from './application.js';
import type { ServerMeter } from './server-meter.js';

/** How many calls are in flight: one, or {@link LANES}. */
export type Mode = 'sequential' | 'concurrent';

/** Calls in flight in concurrent mode. */
export const LANES = 64;

/** One variant in one round. Per-operation figures are means over the measurement. */
export interface Sample {
  readonly operationsPerSecond: number;
  readonly clientCpuUs: number;
  readonly serverCpuUs: number;
  readonly roundTrips: number;
  readonly commands: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Microseconds of each operation; empty in concurrent mode. */
  readonly latenciesUs: Float64Array;
}

/** Samples per variant; the same index is the same round. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

/** How much to measure. */
export interface Effort {
  readonly rounds: number;
  /** Share of the operations a bench asks for. */
  readonly scale: number;
}

/**
 * Measures a bench in both modes. Variants take turns within a round, and each round begins with
 * another one, so that neither a slow second of the machine nor a place in the order favours any.
 */
export async function measure(
  bench: Bench,
  application: BenchApplication,
  effort: Effort,
): Promise<{ operation: string; samples: Record<Mode, Samples> }> {
  const scenario = await bench.open(application);
  try {
    const run = (mode: Mode) =>
      measureMode(scenario, application.meter, mode, {
        rounds: effort.rounds,
        count: Math.ceil(bench[mode] * effort.scale),
      });
    const samples = { sequential: await run('sequential'), concurrent: await run('concurrent') };
    return { operation: scenario.operation, samples };
  } finally {
    await scenario.close?.();
  }
}

async function measureMode(
  scenario: Scenario,
  meter: ServerMeter,
  mode: Mode,
  { rounds, count }: { rounds: number; count: number },
): Promise<Samples> {
  const [floor, ...others] = scenario.variants;
  const variants = [floor, ...others, again(floor)];
  const samples = new Map<string, Sample[]>(variants.map(({ name }) => [name, []]));
  // Round 0 warms up the compiler, the connections and the script cache.
  for (let round = 0; round <= rounds; round += 1) {
    for (let turn = 0; turn < variants.length; turn += 1) {
      const variant = variants[(round + turn) % variants.length]!;
      const sample = await measureOnce(variant, meter, mode, count);
      if (round > 0) samples.get(variant.name)!.push(sample);
      await scenario.cleanUp?.();
    }
  }
  return samples;
}

async function measureOnce(variant: Variant, meter: ServerMeter, mode: Mode, count: number): Promise<Sample> {
  const latenciesUs = new Float64Array(mode === 'sequential' ? count : 0);
  // What the variant before left behind is not this one's to clean up.
  globalThis.gc?.();
  const { result, counters } = await meter.during(async () => {
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    if (mode === 'sequential') await runSequentially(variant, count, latenciesUs);
    else await runConcurrently(variant, count);
    const elapsedMs = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(cpu);
    return { elapsedMs, cpuUs: user + system };
  });
  return {
    operationsPerSecond: (count / result.elapsedMs) * 1000,
    clientCpuUs: result.cpuUs / count,
    serverCpuUs: counters.cpuUs / count,
    roundTrips: counters.reads / count,
    commands: counters.commands / count,
    bytesIn: counters.bytesIn / count,
    bytesOut: counters.bytesOut / count,
    latenciesUs,
  };
}

async function runSequentially(variant: Variant, count: number, latenciesUs: Float64Array): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const startedMs = performance.now();
    await variant.run(index);
    latenciesUs[index] = (performance.now() - startedMs) * 1000;
  }
}

async function runConcurrently(variant: Variant, count: number): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await variant.run(next++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}
