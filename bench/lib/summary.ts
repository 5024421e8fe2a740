import type { Mode, Sample, Samples } from './measure.js';
import { percentile, round, spread, type Spread } from './statistics.js';

/** Percentiles of single operations with nothing else in flight, in microseconds. */
export interface Latency {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** One variant in one mode over all rounds. Spreads are over rounds. */
export interface VariantSummary {
  readonly name: string;
  readonly operationsPerSecond: Spread;
  /** Operations per second, divided by the floor's in the same round. */
  readonly operationsRatio: Spread;
  readonly latencyUs?: Latency;
  /** Median latency of a round, divided by the floor's in the same round. */
  readonly latencyRatio?: Spread;
  /** CPU time of this process per operation. */
  readonly clientCpuUs: Spread;
  /** The same, divided by the floor's in the same round. */
  readonly clientCpuRatio: Spread;
  /** The same, minus the floor's in the same round. */
  readonly clientCpuOverFloorUs: Spread;
  /** CPU time of the server per operation; absent where it is not measured. */
  readonly serverCpuUs?: Spread;
  readonly serverCpuRatio?: Spread;
  /** Socket reads of the server per operation; present with one operation in flight. */
  readonly roundTrips?: number;
  /** Commands per operation, those inside scripts included. */
  readonly commands: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Sums the samples of one mode up; the first variant is the floor. */
export function summarise(samples: Samples, mode: Mode, withServerCpu: boolean): VariantSummary[] {
  const [floor = []] = samples.values();
  return [...samples].map(([name, own]) => {
    const perRound = (figure: (sample: Sample, floor: Sample) => number) =>
      spread(own.map((sample, index) => figure(sample, floor[index]!)));
    const middle = (figure: (sample: Sample) => number) => perRound(figure).median;
    return {
      name,
      operationsPerSecond: perRound((sample) => sample.operationsPerSecond),
      operationsRatio: perRound((sample, base) => sample.operationsPerSecond / base.operationsPerSecond),
      ...(mode === 'sequential'
        ? {
            latencyUs: latency(own),
            latencyRatio: perRound((sample, base) => medianLatency(sample) / medianLatency(base)),
            roundTrips: middle((sample) => sample.roundTrips),
          }
        : {}),
      clientCpuUs: perRound((sample) => sample.clientCpuUs),
      clientCpuRatio: perRound((sample, base) => sample.clientCpuUs / base.clientCpuUs),
      clientCpuOverFloorUs: perRound((sample, base) => sample.clientCpuUs - base.clientCpuUs),
      ...(withServerCpu
        ? {
            serverCpuUs: perRound((sample) => sample.serverCpuUs),
            serverCpuRatio: perRound((sample, base) => sample.serverCpuUs / base.serverCpuUs),
          }
        : {}),
      commands: middle((sample) => sample.commands),
      bytesIn: middle((sample) => sample.bytesIn),
      bytesOut: middle((sample) => sample.bytesOut),
    };
  });
}

function latency(samples: readonly Sample[]): Latency {
  const all = Float64Array.from(samples.flatMap(({ latenciesUs }) => [...latenciesUs])).sort();
  return {
    p50: round(percentile(all, 0.5)),
    p95: round(percentile(all, 0.95)),
    p99: round(percentile(all, 0.99)),
  };
}

function medianLatency({ latenciesUs }: Sample): number {
  return percentile(Float64Array.from(latenciesUs).sort(), 0.5);
}
