/** One use of a connection by a capability. */
export interface CapabilityUse {
  /** What works on the connection, in the plural where there may be several: `cache`, `queues`, `locks`. */
  readonly capability: string;
  /** Configured name of the connection. */
  readonly connection: string;
  /** Whether the application cannot serve while the connection is gone; health options may say otherwise. */
  readonly critical: boolean;
}

/**
 * What works on which connection. Capabilities declare themselves when they are built, so that health can
 * tell a connection that only a cache uses from one that jobs and locks depend on, without knowing either.
 */
export class CapabilityRegistry {
  private readonly known = new Map<string, CapabilityUse>();

  /**
   * Declares a use; call it in a constructor. Declared twice, the same use is critical when either was.
   *
   * @example
   * registry.capabilities.declare({ capability: 'locks', connection: 'default', critical: true });
   */
  declare(use: CapabilityUse): void {
    const key = `${use.connection}\n${use.capability}`;
    const critical = use.critical || (this.known.get(key)?.critical ?? false);
    this.known.set(key, Object.freeze({ ...use, critical }));
  }

  /** Every use, in the order of declaration. */
  all(): readonly CapabilityUse[] {
    return [...this.known.values()];
  }
}
