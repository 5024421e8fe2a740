import { ConfigurationError } from '../common/index.js';
import type { CapabilityUse, ConnectionRegistry } from '../redis/index.js';
import type { ResolvedRedisHealthOptions } from './health.options.js';

/** How much a capability matters to readiness. */
export type CapabilityWeight = 'critical' | 'optional';

/** Decides which connections the application cannot serve without. @internal */
export class Criticality {
  constructor(
    private readonly registry: ConnectionRegistry,
    private readonly options: Pick<ResolvedRedisHealthOptions, 'connection' | 'critical' | 'capabilities'>,
  ) {}

  /**
   * Whether the application is unready without a connection: as `critical` says, else when a critical
   * capability works on it. The one that is checked by default counts as critical while no capability has
   * declared itself on it: the application itself may use it.
   */
  isCritical(connection: string): boolean {
    const { critical } = this.options;
    if (typeof critical === 'boolean') return critical;
    if (critical) return critical.includes(connection);
    const uses = this.usesOf(connection);
    if (uses.length === 0) return connection === this.options.connection;
    return uses.some((use) => this.isNeeded(use));
  }

  /** What works on a connection, and how much it matters. */
  weights(connection: string): Readonly<Record<string, CapabilityWeight>> {
    return Object.fromEntries(
      this.usesOf(connection).map((use) => [use.capability, this.isNeeded(use) ? 'critical' : 'optional']),
    );
  }

  /**
   * Checks the names of the option `capabilities` once all capabilities are built.
   *
   * @throws {ConfigurationError} when none has such a name
   */
  assertKnown(): void {
    const known = new Set(this.registry.capabilities.all().map(({ capability }) => capability));
    const unknown = Object.keys(this.options.capabilities).filter((name) => !known.has(name));
    if (unknown.length === 0) return;
    const names = [...known].map((name) => `"${name}"`).join(', ') || 'none';
    throw new ConfigurationError(
      `Option "capabilities" of the health checks names "${unknown[0]}", which is not in use; in use are: ${names}`,
    );
  }

  private usesOf(connection: string): CapabilityUse[] {
    return this.registry.capabilities.all().filter((use) => use.connection === connection);
  }

  private isNeeded({ capability, critical }: CapabilityUse): boolean {
    return this.options.capabilities[capability] ?? critical;
  }
}
