import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { ConnectionRegistry, type ConnectionRole, type ConnectionSnapshot } from '../redis/index.js';

/** Connections of one role. */
export interface RoleCount {
  /** Connections opened so far and not given up. */
  readonly open: number;
  /** Those that can take a command now. */
  readonly ready: number;
}

/** Every connection Rednest opened, counted by role and listed. Safe to print. */
export interface ConnectionsReport extends RoleCount {
  /** Only roles in use. */
  readonly roles: Readonly<Partial<Record<ConnectionRole, RoleCount>>>;
  /** One entry per connection and role opened so far. */
  readonly connections: readonly ConnectionSnapshot[];
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
  ) {}

  /**
   * `up` while every open connection is ready, else `degraded`, which Terminus answers with 200:
   * whether the application can serve is for {@link RedisHealthIndicator} to say.
   *
   * @param key name of this check in the result @default 'connections'
   */
  isHealthy<const Key extends string = 'connections'>(
    key: Key = 'connections' as Key,
  ): HealthIndicatorResult<Key> {
    const session = this.indicators.check(key);
    const report = { ...this.report() };
    if (report.ready === report.open) return session.up(report);
    const message = `${report.open - report.ready} of ${report.open} connections are not ready`;
    return session.degraded({ ...report, message });
  }

  /** The same as plain data. */
  report(): ConnectionsReport {
    const connections = this.registry.snapshot();
    const roles: Partial<Record<ConnectionRole, RoleCount>> = {};
    for (const role of new Set(connections.map((connection) => connection.role))) {
      roles[role] = count(connections.filter((connection) => connection.role === role));
    }
    return { ...count(connections), roles, connections };
  }
}

function count(connections: readonly ConnectionSnapshot[]): RoleCount {
  return {
    open: connections.filter(({ state }) => state !== 'end').length,
    ready: connections.filter(({ state }) => state === 'ready').length,
  };
}
