import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { ConnectionRegistry, type CircuitSnapshot, type ManagedConnection } from '../redis/index.js';
import { Criticality, type CapabilityWeight } from './criticality.js';
import type { RedisHealthOptions, ResolvedRedisHealthOptions } from './health.options.js';
import { RESOLVED_REDIS_HEALTH_OPTIONS } from './health.tokens.js';
import type { ClusterReport } from './cluster-masters.js';
import { placeOf, type RedisHealthPlace } from './place.js';
import { RedisExaminer, type Examination } from './redis-examiner.js';
import type { ObservedServer, ServerFacts } from './server-facts.js';
import { SharedResults, type SharedResult } from './shared-results.js';

/** What a check shows. */
export interface RedisHealthView {
  /**
   * Also show replication, memory, persistence, clients and circuit. For people: internal names are
   * among them. Costs no further command. @default false
   */
  details?: boolean;
}

/** Per-check settings of {@link RedisHealthIndicator}. */
export interface RedisHealthCheckOptions extends Pick<RedisHealthOptions, 'connection'>, RedisHealthView {}

/** What a check reports. Never a secret. */
export interface RedisHealthDetails extends RedisHealthPlace, Partial<ServerFacts> {
  /** Whether the application is unready without this connection. */
  readonly critical: boolean;
  /** What works on this connection and whether the application can serve without it; absent for nothing. */
  readonly capabilities?: Readonly<Record<string, CapabilityWeight>>;
  /** Whether the server answered. */
  readonly connected: boolean;
  /** Round trip of PING in milliseconds, two decimals. */
  readonly latencyMs?: number;
  /** Why the status is not `up`; absent when it is. */
  readonly reasons?: readonly string[];
  /** The first of the {@link reasons} when the server did not answer or serves nothing. */
  readonly message?: string;
  /** The server; with `details`, not for a Cluster. */
  readonly server?: ObservedServer;
  /** The masters of a Cluster that answered; with `details`. */
  readonly servers?: readonly ObservedServer[];
  /** Only for a Cluster; with `details`. */
  readonly cluster?: ClusterReport;
  /** Whether calls are let through; with `details`. */
  readonly circuit?: Omit<CircuitSnapshot, 'connection'>;
  /** Time the examination took, in milliseconds. */
  readonly responseTime: number;
  /** `true` when the result had been there before it was asked for. */
  readonly cachedResponse?: true;
}

/**
 * Tells whether Redis answers and how well it is, for readiness. Not for liveness: restarting the
 * application does not mend its server.
 *
 * - `down`: no connection, an open circuit (both at once), or no answer within `pingTimeout`; only
 *   for a connection that is critical
 * - `degraded`: the same for any other connection; or the server answers, but `reasons` says what is
 *   wrong with it. Terminus answers 200
 * - `up`: neither
 *
 * Results are shared for `cacheFor` (250 ms).
 *
 * @example
 * `@Get('ready') @HealthCheck()`
 * ready() {
 *   return this.health.check([() => this.redis.isHealthy()]);
 * }
 */
@Injectable()
export class RedisHealthIndicator implements OnModuleInit {
  private readonly examiner: RedisExaminer;
  private readonly criticality: Criticality;
  private readonly results: SharedResults<Examination>;

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly registry: ConnectionRegistry,
    @Inject(RESOLVED_REDIS_HEALTH_OPTIONS) private readonly options: ResolvedRedisHealthOptions,
  ) {
    this.criticality = new Criticality(registry, options);
    this.examiner = new RedisExaminer(registry, options, this.criticality);
    this.results = new SharedResults(options.cacheForMs);
  }

  /** A start that fails leaves no connection behind. @internal */
  async onModuleInit(): Promise<void> {
    try {
      this.criticality.assertKnown();
    } catch (error) {
      await this.registry.close();
      throw error;
    }
  }

  /**
   * Examines one connection, over the connection the application works with. One round trip; every
   * 5 s (`factsFor`) one command more, INFO, in the same round trip. A Cluster is asked master by
   * master, all at once.
   *
   * @param key name of this check in the result @default 'redis'
   * @throws {ConfigurationError} when no connection has the name
   */
  async isHealthy<const Key extends string = 'redis'>(
    key: Key = 'redis' as Key,
    options: RedisHealthCheckOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const link = this.registry.connection(options.connection ?? this.options.connection);
    const result = await this.results.get(link.connection, () => this.examiner.examine(link));
    const critical = this.criticality.isCritical(link.connection);
    const report = { ...this.report(link, result, critical, options.details ?? false) };
    const session = this.indicators.check(key);
    const { connected, reasons } = result.value;
    if (!connected) return critical ? session.down(report) : session.degraded(report);
    return reasons.length > 0 ? session.degraded(report) : session.up(report);
  }

  /**
   * Examines every connection that is critical or in use, for readiness with several servers: 503
   * only when a critical one is gone. The default one appears as `key`, others as `key:name`.
   *
   * @param key name of this check in the result @default 'redis'
   */
  async areHealthy(key = 'redis', view: RedisHealthView = {}): Promise<HealthIndicatorResult> {
    const results = await Promise.all(
      this.names().map((connection) => {
        const name = connection === this.options.connection ? key : `${key}:${connection}`;
        return this.isHealthy(name, { ...view, connection });
      }),
    );
    return Object.assign({}, ...results) as HealthIndicatorResult;
  }

  /** A server that nothing uses is not connected to for the sake of a check. */
  private names(): string[] {
    const used = new Set(this.registry.snapshot().map(({ connection }) => connection));
    const { connection } = this.options;
    return this.registry.names.filter(
      (name) => name === connection || used.has(name) || this.criticality.isCritical(name),
    );
  }

  private report(
    link: ManagedConnection,
    { value, isKept }: SharedResult<Examination>,
    critical: boolean,
    detailed: boolean,
  ): RedisHealthDetails {
    const { connected, latencyMs, facts, tookMs, reasons } = value;
    const capabilities = this.criticality.weights(link.connection);
    return {
      ...placeOf(link),
      critical,
      ...(Object.keys(capabilities).length === 0 ? {} : { capabilities }),
      connected,
      ...(latencyMs === undefined ? {} : { latencyMs }),
      ...(facts && { role: facts.role, serverVersion: facts.serverVersion }),
      ...(facts?.hint === undefined ? {} : { hint: facts.hint }),
      ...(reasons.length === 0 ? {} : { reasons }),
      ...(connected ? {} : { message: reasons[0] }),
      ...(detailed ? this.details(link, value) : {}),
      responseTime: tookMs,
      ...(isKept ? { cachedResponse: true as const } : {}),
    };
  }

  private details(link: ManagedConnection, { facts, cluster }: Examination) {
    const circuit = this.registry.circuits().find(({ connection }) => connection === link.connection);
    const servers = facts?.servers ?? [];
    return {
      ...(cluster ? { cluster, servers } : servers[0] && { server: servers[0] }),
      ...(circuit && { circuit: { state: circuit.state, openForMs: circuit.openForMs } }),
    };
  }
}
