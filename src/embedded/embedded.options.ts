import { ConfigurationError, describeValue, resolveDuration, type Duration } from '../common/index.js';

/**
 * An amount of memory: a whole number of bytes, or a number with a unit of 1,024 such as
 * `'512kb'`, `'256mb'` or `'1gb'`.
 */
export type MemorySize = number | `${number}${'b' | 'kb' | 'mb' | 'gb'}`;

/** What {@link EmbeddedRedis.start} accepts. */
export interface EmbeddedRedisOptions {
  /**
   * TCP port on 127.0.0.1, 0 to 65535. `0` takes a free one. A fixed port that is taken is an
   * error, never a silent second choice. @default 0
   */
  port?: number;
  /**
   * Most memory the data may take, 4 MiB to 1 GiB. Writes beyond it are refused with the server's
   * `OOM` error; nothing is evicted. @default '1gb'
   */
  maxMemory?: MemorySize;
  /**
   * How long {@link EmbeddedRedis.start} waits until the server answers. Number = milliseconds, or
   * `'10s'`. 100 ms to 2 minutes. @default '10s'
   */
  startTimeout?: Duration;
}

/** {@link EmbeddedRedisOptions} after checking, every value present. */
export interface ResolvedEmbeddedRedisOptions {
  /** TCP port; 0 means any free one. */
  readonly port: number;
  /** Memory limit in bytes. */
  readonly maxMemoryBytes: number;
  /** Deadline of the start in milliseconds. */
  readonly startTimeoutMs: number;
}

const KIB = 1024;
const MIB = KIB * KIB;
const GIB = KIB * MIB;
const UNIT_BYTES: Record<string, number> = { b: 1, kb: KIB, mb: MIB, gb: GIB };
const SIZE_PATTERN = /^(\d+(?:\.\d+)?)(b|kb|mb|gb)$/i;
const MIN_MEMORY = 4 * MIB;
// The engine is a 32-bit build, and a heap that runs out ends its process. 1 GiB of data leaves
// room for connection buffers and for tables while they are being resized.
const MAX_MEMORY = GIB;

/** Values used for options that are left out. */
export const EMBEDDED_DEFAULTS: ResolvedEmbeddedRedisOptions = Object.freeze({
  port: 0,
  maxMemoryBytes: MAX_MEMORY,
  startTimeoutMs: 10_000,
});

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {ConfigurationError} listing the option that cannot be used and what it accepts
 */
export function resolveEmbeddedOptions(input: EmbeddedRedisOptions = {}): ResolvedEmbeddedRedisOptions {
  const { port, maxMemory, startTimeout } = input;
  return Object.freeze({
    port: port === undefined ? EMBEDDED_DEFAULTS.port : resolvePort(port),
    maxMemoryBytes: maxMemory === undefined ? EMBEDDED_DEFAULTS.maxMemoryBytes : resolveMemory(maxMemory),
    startTimeoutMs:
      startTimeout === undefined
        ? EMBEDDED_DEFAULTS.startTimeoutMs
        : resolveDuration(startTimeout, 'startTimeout', { minMs: 100, maxMs: 120_000 }),
  });
}

function resolvePort(port: unknown): number {
  if (typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new ConfigurationError(
    `Option "port" of the embedded server is not a port (${describeValue(port)}); ` +
      `give a whole number from 1 to 65535, or 0 for a free one`,
  );
}

function resolveMemory(value: unknown): number {
  const bytes = toBytes(value);
  if (bytes === undefined) {
    throw new ConfigurationError(
      `Option "maxMemory" of the embedded server is not an amount of memory (${describeValue(value)}); ` +
        `give whole bytes as a number, or a string such as "64mb"`,
    );
  }
  if (bytes < MIN_MEMORY || bytes > MAX_MEMORY) {
    throw new ConfigurationError(
      `Option "maxMemory" of the embedded server is ${bytes} bytes, outside the accepted range of ` +
        `${MIN_MEMORY} (4 MiB) to ${MAX_MEMORY} (1 GiB)`,
    );
  }
  return bytes;
}

function toBytes(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  if (typeof value !== 'string') return undefined;
  const match = SIZE_PATTERN.exec(value);
  if (!match) return undefined;
  const bytes = Number(match[1]) * UNIT_BYTES[match[2]!.toLowerCase()]!;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
