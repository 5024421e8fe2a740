import { buildKey, ConfigurationError, resolveDuration, type Duration } from '../common/index.js';

/**
 * Named times to live, so that no call carries a magic number.
 *
 * - `short`: 30 s, values that change while a page is open
 * - `medium`: 5 min, values that change during a visit
 * - `long`: 1 h, values that change rarely
 */
export const TTL_TIERS = Object.freeze({ short: '30s', medium: '5m', long: '1h' } as const);

/** Name of a tier in {@link TTL_TIERS}. */
export type TtlTier = keyof typeof TTL_TIERS;

/** A time to live: a tier by name, or a duration. */
export type Ttl = TtlTier | Duration;

/**
 * Converts a tier or duration to milliseconds.
 *
 * @throws {ConfigurationError} when it is neither
 */
export function resolveTtl(ttl: Ttl, name = 'ttl'): number {
  const duration = Object.hasOwn(TTL_TIERS, ttl) ? TTL_TIERS[ttl as TtlTier] : (ttl as Duration);
  return resolveDuration(duration, name);
}

/** Kind of value a keyspace holds. */
export type KeyspaceValue =
  'string' | 'json' | 'integer' | 'hash' | 'list' | 'set' | 'zset' | 'stream' | 'bytes';

/** Declaration of a family of keys. */
export interface KeyspaceDefinition<Parts extends readonly string[]> {
  /** Capability that owns the keys; the second segment of every key. */
  readonly capability: string;
  /** Unique name within the capability. */
  readonly name: string;
  /** What decides the hash slot, for example `tenantId`. */
  readonly routing: string;
  /** Names of the parts after the routing id, in order. */
  readonly parts: Parts;
  /** Time to live of a key, or `'none'` for keys that live until deleted, or `'per-call'`. */
  readonly ttl: Ttl | 'none' | 'per-call';
  /** What is stored. */
  readonly value: KeyspaceValue;
  /** One sentence for the table of keyspaces. */
  readonly description: string;
}

type PartValues<Parts extends readonly string[]> = { [Index in keyof Parts]: string | number };

/** A declared family of keys: builds keys and knows their time to live. */
export class Keyspace<Parts extends readonly string[] = readonly string[]> {
  /** Time to live in milliseconds; `undefined` for `'none'` and `'per-call'`. */
  readonly ttlMs: number | undefined;

  /** @internal use {@link defineKeyspace} */
  constructor(
    /** The declaration, frozen. */
    readonly definition: KeyspaceDefinition<Parts>,
  ) {
    const { ttl, name } = definition;
    this.ttlMs = ttl === 'none' || ttl === 'per-call' ? undefined : resolveTtl(ttl, `${name}.ttl`);
  }

  /**
   * Builds the key `<prefix>:<capability>:{<routing id>}:<name>:<parts>`.
   *
   * @throws {ConfigurationError} when a part is empty or not text
   */
  key(prefix: string, routingId: string | number, ...parts: PartValues<Parts>): string {
    const { capability, name } = this.definition;
    return buildKey(prefix, capability, routingId, name, ...(parts as readonly (string | number)[]));
  }

  /** Form of the keys, such as `<prefix>:queue:{tenantId}:once:<type>:<dedupeKey>`. */
  get pattern(): string {
    const { capability, routing, name, parts } = this.definition;
    return ['<prefix>', capability, `{${routing}}`, name, ...parts.map((part) => `<${part}>`)].join(':');
  }
}

/**
 * Declares a family of keys once: its parts, time to live and value. The table of keyspaces in the
 * documentation is generated from these declarations.
 *
 * @throws {ConfigurationError} when the time to live is not a tier, a duration, `'none'` or `'per-call'`
 * @example
 * const RESUME = defineKeyspace({
 *   capability: 'activity', name: 'resume', routing: 'activityId', parts: [],
 *   ttl: '7d', value: 'string', description: 'Model session to continue an activity with',
 * });
 * redis.set(RESUME.key('shop', 'a1'), sessionId, 'PX', RESUME.ttlMs);
 */
export function defineKeyspace<const Parts extends readonly string[]>(
  definition: KeyspaceDefinition<Parts>,
): Keyspace<Parts> {
  return new Keyspace(Object.freeze({ ...definition }));
}

/** One row of the table of keyspaces. */
export interface KeyspaceRow {
  /** Capability that owns the keys. */
  readonly capability: string;
  /** Name within the capability. */
  readonly name: string;
  /** Form of the keys, as in {@link Keyspace.pattern}. */
  readonly pattern: string;
  /** Time to live in milliseconds; `none`: kept until deleted, `per-call`: the caller decides. */
  readonly ttlMs: number | 'none' | 'per-call';
  /** What is stored under a key. */
  readonly value: KeyspaceValue;
  /** One sentence on what the keys are for. */
  readonly description: string;
}

/** The keyspaces an application uses; capabilities register theirs when they start. */
export class KeyspaceRegistry {
  private readonly keyspaces = new Map<string, Keyspace>();

  /**
   * Adds a keyspace. Registering the same one again is fine.
   *
   * @throws {ConfigurationError} when another keyspace has the same capability and name
   */
  register(keyspace: Keyspace<readonly string[]>): void {
    const { capability, name } = keyspace.definition;
    const id = `${capability}:${name}`;
    const existing = this.keyspaces.get(id);
    if (existing && existing !== keyspace) {
      throw new ConfigurationError(`Keyspace "${id}" is declared twice; give one of them another name`);
    }
    this.keyspaces.set(id, keyspace);
  }

  /** All registered keyspaces, sorted by capability and name. */
  table(): KeyspaceRow[] {
    return [...this.keyspaces.values()].map(toRow).sort(byOwner);
  }
}

function toRow({ definition, pattern, ttlMs }: Keyspace): KeyspaceRow {
  const { capability, name, value, description, ttl } = definition;
  return { capability, name, pattern, value, description, ttlMs: ttlMs ?? (ttl as 'none' | 'per-call') };
}

function byOwner(a: KeyspaceRow, b: KeyspaceRow): number {
  return a.capability.localeCompare(b.capability) || a.name.localeCompare(b.name);
}
