import { ConfigurationError, isRednestError, resolveDuration, type Duration } from '../common/index.js';
import { DEFAULT_CONNECTION } from '../redis/index.js';

/** Options of `RedisHealthModule`; all optional. */
export interface RedisHealthOptions {
  /** Name of the connection that is checked when a check names none. @default 'default' */
  connection?: string;
  /**
   * Connections without which the application cannot serve. One of them that is gone is `down` (503);
   * any other is `degraded` (200). `true` = all, `false` = none, else their names. Left out: those that a
   * critical capability works on, and the one that `connection` names while no capability works on it.
   */
  critical?: boolean | readonly string[];
  /**
   * Capabilities without which the application can or cannot serve, where that differs from what they
   * declare: `{ cache: true, queues: false }`. Not together with {@link critical}.
   */
  capabilities?: Readonly<Record<string, boolean>>;
  /**
   * Time the server has to answer PING before the check says `down`. Number = milliseconds, or
   * `'500ms'`. 1 ms to 10 s; keep it below the probe's own timeout, which is 1 s in Kubernetes.
   * @default '500ms'
   */
  pingTimeout?: Duration;
  /**
   * How long a result, good or bad, answers further checks of the same connection, so that probes
   * do not add up. `0` shares nothing but a ping that is running. At most 1 min. @default '250ms'
   */
  cacheFor?: Duration;
  /**
   * How long what the server says about itself (INFO) is kept: at most one INFO per connection in this
   * time. `0` asks with every check. At most 1 min. @default '5s'
   */
  factsFor?: Duration;
  /**
   * Connections to one server that this process may hold open before `ConnectionsHealthIndicator` is
   * `degraded`. Integer >= 1, or `Infinity`. All processes together must stay below `maxclients` of the
   * server. @default 16
   */
  connectionBudget?: number;
  /** When a server that answers is `degraded`. */
  thresholds?: RedisHealthThresholds;
}

/** Limits beyond which a server that answers is `degraded`; all optional. */
export interface RedisHealthThresholds {
  /**
   * Silence between a replica and its master. Servers count it in seconds, and a master without writes
   * speaks every 10 s. 1 s to 1 h. @default '15s'
   */
  replicationLag?: Duration;
  /** Bytes a replica may be behind. Integer >= 0, or `Infinity`. @default 16777216 (16 MiB) */
  replicationLagBytes?: number;
  /** Replicas a master needs in step. Integer >= 0. @default 0 */
  minReplicas?: number;
  /** Share of `maxmemory` in use while the policy is `noeviction`. Above 0, at most 1. @default 0.9 */
  memory?: number;
  /**
   * Keys evicted per minute. Integer >= 0, or `Infinity`. Left out: 0 on a critical connection, where an
   * evicted key may be a job or a lock; no limit on others, where evicting is what a cache does.
   */
  evictionsPerMinute?: number;
  /** Connections refused per minute because `maxclients` was reached. Integer >= 0, or `Infinity`. @default 0 */
  rejectionsPerMinute?: number;
  /** Share of `maxclients` in use. Above 0, at most 1. @default 0.9 */
  clients?: number;
}

/** {@link RedisHealthThresholds} after checking. */
export interface ResolvedHealthThresholds {
  readonly replicationLagMs: number;
  readonly replicationLagBytes: number;
  readonly minReplicas: number;
  readonly memory: number;
  /** `undefined`: depends on whether the connection is critical. */
  readonly evictionsPerMinute: number | undefined;
  readonly rejectionsPerMinute: number;
  readonly clients: number;
}

/** {@link RedisHealthOptions} after checking, every value present. */
export interface ResolvedRedisHealthOptions {
  readonly connection: string;
  /** `undefined`: the capabilities decide. */
  readonly critical: boolean | readonly string[] | undefined;
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly pingTimeoutMs: number;
  readonly cacheForMs: number;
  readonly factsForMs: number;
  readonly connectionBudget: number;
  readonly thresholds: ResolvedHealthThresholds;
}

/** Limits used for those that are left out. */
export const HEALTH_THRESHOLD_DEFAULTS: Readonly<
  Required<Omit<RedisHealthThresholds, 'evictionsPerMinute'>>
> = Object.freeze({
  replicationLag: '15s',
  replicationLagBytes: 16 * 1024 * 1024,
  minReplicas: 0,
  memory: 0.9,
  rejectionsPerMinute: 0,
  clients: 0.9,
});

/** Values used for options that are left out. */
export const REDIS_HEALTH_DEFAULTS: Readonly<
  Required<Omit<RedisHealthOptions, 'critical' | 'capabilities'>>
> = Object.freeze({
  connection: DEFAULT_CONNECTION,
  pingTimeout: '500ms',
  cacheFor: '250ms',
  factsFor: '5s',
  connectionBudget: 16,
  thresholds: HEALTH_THRESHOLD_DEFAULTS,
});

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {ConfigurationError} listing every option that cannot be used
 */
export function resolveRedisHealthOptions(input: RedisHealthOptions = {}): ResolvedRedisHealthOptions {
  const given = { ...REDIS_HEALTH_DEFAULTS, ...withoutUndefined(input) };
  const check = new Faults();
  const duration = (name: 'pingTimeout' | 'cacheFor' | 'factsFor', minMs: number, maxMs: number) =>
    check.of(() => resolveDuration(given[name], name, { minMs, maxMs }));
  const resolved = {
    connection: check.of(() => resolveName(given.connection)),
    critical: check.of(() => resolveCritical(given.critical)),
    capabilities: check.of(() => resolveCapabilities(given.capabilities, given.critical)) ?? {},
    pingTimeoutMs: duration('pingTimeout', 1, 10_000),
    cacheForMs: duration('cacheFor', 0, 60_000),
    factsForMs: duration('factsFor', 0, 60_000),
    connectionBudget: check.of(() => count(given.connectionBudget, 'connectionBudget', 1)),
    thresholds: resolveThresholds(given.thresholds, check),
  };
  check.throwAll();
  return Object.freeze(resolved) as ResolvedRedisHealthOptions;
}

function resolveThresholds(input: RedisHealthThresholds, check: Faults) {
  const given = { ...HEALTH_THRESHOLD_DEFAULTS, ...withoutUndefined(input) };
  const counted = (name: 'replicationLagBytes' | 'minReplicas' | 'rejectionsPerMinute') =>
    check.of(() => count(given[name], `thresholds.${name}`, 0));
  const { evictionsPerMinute } = given;
  return Object.freeze({
    replicationLagMs: check.of(() =>
      resolveDuration(given.replicationLag, 'thresholds.replicationLag', { minMs: 1000, maxMs: 3_600_000 }),
    ),
    replicationLagBytes: counted('replicationLagBytes'),
    minReplicas: counted('minReplicas'),
    memory: check.of(() => share(given.memory, 'thresholds.memory')),
    evictionsPerMinute:
      evictionsPerMinute === undefined
        ? undefined
        : check.of(() => count(evictionsPerMinute, 'thresholds.evictionsPerMinute', 0)),
    rejectionsPerMinute: counted('rejectionsPerMinute'),
    clients: check.of(() => share(given.clients, 'thresholds.clients')),
  });
}

function withoutUndefined<T extends object>(input: T): T {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as T;
}

function resolveName(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new ConfigurationError(
    'Option "connection" of the health checks is not a name; give a non-empty string',
  );
}

function resolveCapabilities(value: unknown, critical: unknown): Readonly<Record<string, boolean>> {
  if (value === undefined) return Object.freeze({});
  if (critical !== undefined) {
    throw new ConfigurationError(
      'Options "critical" and "capabilities" of the health checks both decide about readiness; keep one of them',
    );
  }
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isMap && Object.values(value).every((item) => typeof item === 'boolean')) {
    return Object.freeze({ ...(value as Record<string, boolean>) });
  }
  throw new ConfigurationError(
    'Option "capabilities" of the health checks is not usable; give true or false by name, such as { cache: true }',
  );
}

function resolveCritical(value: unknown): boolean | readonly string[] | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) {
    return Object.freeze([...value]);
  }
  throw new ConfigurationError(
    'Option "critical" of the health checks is not usable; give true, false or a list of connection names',
  );
}

function count(value: unknown, name: string, min: number): number {
  if (value === Infinity || (Number.isSafeInteger(value) && (value as number) >= min)) return value as number;
  throw new ConfigurationError(
    `Option "${name}" of the health checks is not usable (${String(value).slice(0, 32)}); ` +
      `give an integer of at least ${min}, or Infinity`,
  );
}

function share(value: unknown, name: string): number {
  if (typeof value === 'number' && value > 0 && value <= 1) return value;
  throw new ConfigurationError(
    `Option "${name}" of the health checks is not usable (${String(value).slice(0, 32)}); ` +
      'give a number above 0 and at most 1',
  );
}

/** Collects what is wrong, so that all of it is reported at once. */
class Faults {
  private readonly messages: string[] = [];

  of<T>(resolve: () => T): T | undefined {
    try {
      return resolve();
    } catch (error) {
      if (!isRednestError(error, 'ERR_CONFIGURATION')) throw error;
      this.messages.push(error.message);
      return undefined;
    }
  }

  throwAll(): void {
    if (this.messages.length > 0) throw new ConfigurationError(this.messages);
  }
}
