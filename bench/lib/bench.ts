import type { BenchApplication } from './application.js';

/** One way to do the same thing. */
export interface Variant {
  readonly name: string;
  /** Does it once. `index` counts up, to vary the key. */
  run(index: number): Promise<unknown>;
}

/** Variants that are compared on one server. The first one is the floor. */
export interface Scenario {
  /** What one operation is. */
  readonly operation: string;
  readonly variants: readonly [floor: Variant, ...others: Variant[]];
  /** Runs after each measurement, outside of the measured time. */
  cleanUp?(): Promise<void>;
  /** Closes what the scenario opened beside the application's connections. */
  close?(): Promise<void>;
}

/** A benchmark of one capability. */
export interface Bench {
  /** Name, and name of its file: `<capability>.bench.ts`. */
  readonly capability: string;
  /** Operations per measurement, before `--quick` takes a twentieth. */
  readonly sequential: number;
  readonly concurrent: number;
  /** Prepares the variants on the application's server. */
  open(application: BenchApplication): Promise<Scenario>;
}

/** The floor a second time, under another name: what it differs by is noise. */
export function again(floor: Variant): Variant {
  return { ...floor, name: `${floor.name} (again)` };
}

/** Keys spread over a thousand names, so that no variant lives on one hot key. */
export const KEYS = 1000;
