import type { BootSummary } from '../boot.bench.js';
import type { Environment } from './environment.js';
import type { Mode } from './measure.js';
import type { VariantSummary } from './summary.js';

/** A bench on one server. */
export interface BenchResult {
  readonly capability: string;
  readonly operation: string;
  readonly operationsPerMeasurement: Readonly<Record<Mode, number>>;
  readonly modes: Readonly<Record<Mode, readonly VariantSummary[]>>;
}

/** Everything measured on one server. */
export interface ServerResult {
  readonly kind: 'native' | 'embedded';
  readonly version: string;
  readonly rounds: number;
  readonly benches: readonly BenchResult[];
}

/** Content of a results file. */
export interface Results {
  readonly date: string;
  readonly command: string;
  /** Commit that was measured, as given with `--revision`. */
  readonly revision?: string;
  readonly callsInFlight: number;
  readonly environment: Environment;
  readonly servers: readonly ServerResult[];
  readonly boot: { readonly rounds: number; readonly variants: readonly BootSummary[] };
}

/** One row per variant, for a Markdown table. */
type Row = readonly string[];

const HEADER: Row = [
  'variant',
  'p50 / p95 / p99 us',
  'ops/s, 64 in flight',
  'ratio',
  'client CPU us',
  'ratio',
  'over floor us',
  'server CPU us',
  'round trips',
  'commands',
  'bytes in / out',
];

const BOOT_HEADER: Row = ['variant', 'process start to ready, ms', 'over floor ms', 'load ms', 'boot ms'];

/** The machine and the versions, as a list. */
export function environmentLines({ environment }: Results): string[] {
  const { cpu, cores, memoryGb, system, node, loadAtStart, packages } = environment;
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  return [
    `- Machine: ${cores} cores of ${cpu}, ${memoryGb} GB, ${system}; load when the run began: ${loadAtStart}`,
    `- Node ${node}; ${versions.join(', ')}`,
  ];
}

/** All tables in Markdown. */
export function tables(results: Results): string {
  const sections = results.servers.flatMap((server) => [
    `### ${title(server)}, ${server.rounds} rounds`,
    ...server.benches.map((bench) => benchSection(bench)),
  ]);
  return [...sections, bootSection(results)].join('\n\n');
}

function title({ kind, version }: ServerResult): string {
  return kind === 'native' ? `Native server (${version})` : `Embedded server (${version})`;
}

function benchSection({ capability, operation, modes }: BenchResult): string {
  const rows = modes.concurrent.map((busy) => {
    const quiet = modes.sequential.find(({ name }) => name === busy.name)!;
    return variantRow(quiet, busy);
  });
  return [`**${capability}**: ${operation} (\`bench/${capability}.bench.ts\`)`, table(HEADER, rows)].join(
    '\n\n',
  );
}

function variantRow(quiet: VariantSummary, busy: VariantSummary): Row {
  const { p50, p95, p99 } = quiet.latencyUs!;
  const over = busy.clientCpuOverFloorUs;
  return [
    busy.name,
    [p50, p95, p99].map((value) => value.toFixed(0)).join(' / '),
    Math.round(busy.operationsPerSecond.median).toLocaleString('en'),
    busy.operationsRatio.median.toFixed(2),
    busy.clientCpuUs.median.toFixed(1),
    busy.clientCpuRatio.median.toFixed(2),
    `${signed(over.median)} (${signed(over.p25)} to ${signed(over.p75)})`,
    busy.serverCpuUs ? busy.serverCpuUs.median.toFixed(1) : '-',
    quiet.roundTrips!.toFixed(2),
    busy.commands.toFixed(2),
    `${Math.round(busy.bytesIn)} / ${Math.round(busy.bytesOut)}`,
  ];
}

function bootSection({ boot }: Results): string {
  const rows = boot.variants.map(({ name, totalMs, overFloorMs, loadMs, bootMs }) => [
    name,
    totalMs.median.toFixed(0),
    `${signed(overFloorMs.median, 0)} (${signed(overFloorMs.p25, 0)} to ${signed(overFloorMs.p75, 0)})`,
    loadMs.median.toFixed(0),
    bootMs.median.toFixed(0),
  ]);
  return `### Boot, ${boot.rounds} rounds\n\n**boot** (\`bench/boot.bench.ts\`)\n\n${table(BOOT_HEADER, rows)}`;
}

function signed(value: number, digits = 2): string {
  const text = value.toFixed(digits);
  return value >= 0 ? `+${text}` : text;
}

function table(header: Row, rows: readonly Row[]): string {
  const widths = header.map((name, column) =>
    Math.max(name.length, 3, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: Row) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(header), line(rule), ...rows.map(line)].join('\n');
}
