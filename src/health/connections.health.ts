import { Inject, Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import {
  ConnectionRegistry,
  type CircuitSnapshot,
  type ConnectionRole,
  type ConnectionSnapshot,
} from '../redis/index.js';
import type { ResolvedRedisHealthOptions } from './health.options.js';
import { RESOLVED_REDIS_HEALTH_OPTIONS } from './health.tokens.js';

/** Connections of one role. */
export interface RoleCount {
  /** Connections opened so far and not given up. */
  readonly open: number;
  /** Those that can take a command now. */
  readonly ready: number;
}

/** Every connection Rednest opened, counted by role and listed. Safe to print. */
export interface ConnectionsReport extends RoleCount {
  /** Connections to one server that may be open; `null` without a limit. */
  readonly budget: number | null;
  /** Only roles in use. */
  readonly roles: Readonly<Partial<Record<ConnectionRole, RoleCount>>>;
  /** One entry per connection and role opened so far. */
  readonly connections: readonly ConnectionSnapshot[];
  /** Whether calls are let through, per configured server. */
  readonly circuits: readonly CircuitSnapshot[];
  /** What is not as it should be, one sentence each. */
  readonly reasons: readonly string[];
}

/**
 * Lists the connections of the application for a detailed view. Asks no server: it reports what
 * the clients know.
 */
@Injectable()
export class ConnectionsHealthIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly registry: ConnectionRegistry,
    @Inject(RESOLVED_REDIS_HEALTH_OPTIONS) private readonly options: ResolvedRedisHealthOptions,
  ) {}

  /**
   * `up` while every open connection is ready, no circuit is open and no server has more connections
   * than `connectionBudget`; else `degraded`, which Terminus answers with 200: whether the application
   * can serve is for {@link RedisHealthIndicator} to say.
   *
   * @param key name of this check in the result @default 'connections'
   */
  isHealthy<const Key extends string = 'connections'>(
    key: Key = 'connections' as Key,
  ): HealthIndicatorResult<Key> {
    const session = this.indicators.check(key);
    const { reasons, ...report } = this.report();
    if (reasons.length === 0) return session.up(report);
    return session.degraded({ ...report, reasons, message: reasons[0] });
  }

  /** The same as plain data. */
  report(): ConnectionsReport {
    const connections = this.registry.snapshot();
    const circuits = this.registry.circuits();
    const { connectionBudget } = this.options;
    const roles: Partial<Record<ConnectionRole, RoleCount>> = {};
    for (const role of new Set(connections.map((connection) => connection.role))) {
      roles[role] = count(connections.filter((connection) => connection.role === role));
    }
    return {
      ...count(connections),
      budget: Number.isFinite(connectionBudget) ? connectionBudget : null,
      roles,
      connections,
      circuits,
      reasons: reasonsOf(connections, circuits, connectionBudget),
    };
  }
}

function count(connections: readonly ConnectionSnapshot[]): RoleCount {
  return {
    open: connections.filter(({ state }) => state !== 'end').length,
    ready: connections.filter(({ state }) => state === 'ready').length,
  };
}

function reasonsOf(
  connections: readonly ConnectionSnapshot[],
  circuits: readonly CircuitSnapshot[],
  budget: number,
): string[] {
  const { open, ready } = count(connections);
  const reasons = ready === open ? [] : [`${open - ready} of ${open} connections are not ready`];
  for (const { connection, state, openForMs } of circuits) {
    if (state === 'open') {
      reasons.push(`the circuit of "${connection}" has been open for ${openForMs} ms: calls fail at once`);
    }
    const held = count(connections.filter((link) => link.connection === connection)).open;
    if (held > budget) {
      reasons.push(`${held} connections to "${connection}" are open, more than the budget of ${budget}`);
    }
  }
  return reasons;
}
