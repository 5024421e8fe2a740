import { Inject, Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import {
  ConnectionRegistry,
  RedisUnavailableError,
  type ManagedConnection,
  type RedisExecutor,
} from '../redis/index.js';
import type { RedisHealthOptions, ResolvedRedisHealthOptions } from './health.options.js';
import { RESOLVED_REDIS_HEALTH_OPTIONS } from './health.tokens.js';
import { ServerFactsReader, type ServerFacts } from './server-facts.js';

/** Per-check settings of {@link RedisHealthIndicator}. */
export type RedisHealthCheckOptions = Pick<RedisHealthOptions, 'connection'>;

/** Where a check looked; part of every result. */
export interface RedisHealthPlace {
  /** Configured name of the connection. */
  readonly connection: string;
  /** Host as configured; the first one of Sentinels or a Cluster, the path of a unix socket. */
  readonly host?: string;
  /** Port of {@link host}; `null` for a unix socket. */
  readonly port?: number | null;
  /** Stands in for the host when the application handed in its own client. */
  readonly target?: string;
}

/** What a check that is `up` reports. Never a secret. */
export interface RedisHealthDetails extends RedisHealthPlace, ServerFacts {
  /** Always `true`; a check that is `down` reports `false`. */
  readonly connected: true;
  /** Round trip of PING in milliseconds, two decimals. */
  readonly latencyMs: number;
}

/** Lets the error of the ping, which names the connection, come before Terminus's own. */
const NET_MS = 50;

/**
 * Tells whether Redis answers, for readiness. Not for liveness: restarting the application does not
 * mend its server.
 *
 * `down` at once while there is no connection, and after `pingTimeout` (500 ms) when the server
 * does not answer; the message says why. Results are shared for `cacheFor` (250 ms).
 *
 * @example
 * `@Get('ready') @HealthCheck()`
 * ready() {
 *   return this.health.check([() => this.redis.isHealthy()]);
 * }
 */
@Injectable()
export class RedisHealthIndicator {
  private readonly facts = new ServerFactsReader();

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly registry: ConnectionRegistry,
    @Inject(RESOLVED_REDIS_HEALTH_OPTIONS) private readonly options: ResolvedRedisHealthOptions,
  ) {}

  /**
   * Pings the server over the connection the application works with. One round trip; every 5 s two
   * commands more, in the same round trip, for role and version.
   *
   * @param key name of this check in the result @default 'redis'
   * @throws {ConfigurationError} when no connection has the name
   */
  async isHealthy<const Key extends string = 'redis'>(
    key: Key = 'redis' as Key,
    options: RedisHealthCheckOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const link = this.registry.connection(options.connection ?? this.options.connection);
    // Terminus shares results by key, across all its users: the key has to name the connection.
    const attemptKey = `rednest:${link.connection}`;
    const result = await this.indicators
      .check(attemptKey)
      .attempt(() => this.examine(link))
      .withTimeout(this.options.pingTimeoutMs + NET_MS)
      .cacheFor(this.options.cacheForMs);
    const { status, ...data } = result[attemptKey]!;
    const session = this.indicators.check(key);
    return status === 'up' ? session.up(data) : session.down({ ...placeOf(link), connected: false, ...data });
  }

  private async examine(link: ManagedConnection): Promise<Record<string, unknown>> {
    if (!link.isReady) throw notReady(link);
    const executor = this.registry.executor(link.connection, link.role);
    const deadlineMs = this.options.pingTimeoutMs;
    const [latencyMs, facts] = await Promise.all([
      ping(executor, deadlineMs),
      this.facts.read(executor, deadlineMs),
    ]);
    const details: RedisHealthDetails = { ...placeOf(link), connected: true, latencyMs, ...facts };
    return { ...details };
  }
}

async function ping(executor: RedisExecutor, deadlineMs: number): Promise<number> {
  const startedMs = performance.now();
  await executor.run('health.ping', (client) => client.ping(), { deadlineMs });
  return Math.round((performance.now() - startedMs) * 100) / 100;
}

function notReady(link: ManagedConnection): RedisUnavailableError {
  const { state, lastErrorCode, connection } = link.snapshot();
  const reason = lastErrorCode === undefined ? state : `${state}, last error ${lastErrorCode}`;
  return new RedisUnavailableError(reason, { connection, operation: 'health.ping', outcome: 'not-sent' });
}

function placeOf({ connection, address, target }: ManagedConnection): RedisHealthPlace {
  return address ? { connection, host: address.host, port: address.port } : { connection, target };
}
