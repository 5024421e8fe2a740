import type { HostPort } from './endpoint.js';
import type { NatMap } from './nat-map.js';
import type { BootMode, CredentialProvider, EmbeddedEngine, Environment } from './options.js';

import type { LimitsByRole } from './role-limits.js';

/** TLS material, read and checked. Empty: TLS with the authorities Node trusts. Masked when printed. */
export interface ResolvedTls {
  /** PEM text. */
  readonly ca?: string;
  /** PEM text. */
  readonly cert?: string;
  /** PEM text. */
  readonly key?: string;
  readonly servername?: string;
}

/** Deadlines of a connection in milliseconds. */
export interface ConnectionTimeouts {
  readonly connectTimeoutMs: number;
  readonly commandTimeoutMs: number;
  /** Always above {@link commandTimeoutMs}. */
  readonly socketTimeoutMs: number;
}

/** Where a connection leads. */
export type ConnectionPlace =
  | { readonly mode: 'single'; readonly host: string; readonly port: number }
  | { readonly mode: 'unix'; readonly path: string }
  | {
      readonly mode: 'sentinel';
      readonly hosts: readonly HostPort[];
      readonly name: string;
      readonly sentinelUsername?: string;
      /** Not enumerable, and masked when printed. */
      readonly sentinelPassword?: string;
      /** TLS towards the Sentinels; absent means plain text. */
      readonly sentinelTls?: ResolvedTls;
      /** Address to connect to, by the address that is announced. */
      readonly natMap?: NatMap;
    }
  | {
      readonly mode: 'cluster';
      readonly nodes: readonly HostPort[];
      /** Present when nodes are reached by the names they have, not by addresses looked up before. */
      readonly keepsNames?: true;
      /** Address to connect to, by the address that is announced. */
      readonly natMap?: NatMap;
    };

/**
 * One server, complete and checked. Printing it shows `***` for every secret. The passwords are not
 * enumerable: read them by name (`connection.password`), a spread copy does not carry them.
 */
export type ResolvedConnection = ConnectionPlace &
  ConnectionTimeouts & {
    readonly username?: string;
    /** Not enumerable, and masked when printed. */
    readonly password?: string;
    /** Source of user name and password instead of {@link username} and {@link password}. Not enumerable. */
    readonly credentials?: CredentialProvider;
    readonly db: number;
    /** Present when the connection uses TLS. */
    readonly tls?: ResolvedTls;
    /** Limits that differ from those of the connection. */
    readonly roles?: LimitsByRole;
    /** Present when commands of one turn of the event loop are sent together. */
    readonly autoPipelining?: true;
  };

/** The complete configuration of one application; frozen, safe to print. */
export interface RednestConfiguration {
  /** Name of the application in client names. */
  readonly app: string;
  /** Start of every key Rednest writes. */
  readonly keyPrefix: string;
  /** Where this runs; anything unknown counts as production. */
  readonly environment: Environment;
  /** What start-up does while a server is not ready. */
  readonly bootMode: BootMode;
  /** How long start-up waits for the servers. */
  readonly bootTimeoutMs: number;
  /** Budget of the whole shutdown: handlers, HTTP and connections. */
  readonly shutdownTimeoutMs: number;
  /** By name; `default` is the first one and missing only while {@link embedded} is set. */
  readonly connections: ReadonlyMap<string, ResolvedConnection>;
  /** Deadlines of a connection that sets none of its own. */
  readonly timeouts: ConnectionTimeouts;
  /** How the default connection is used when the engine below is its server. */
  readonly embeddedUse?: Pick<ResolvedConnection, 'roles' | 'autoPipelining'>;
  /** Set only when no server is configured and this engine may be started instead. */
  readonly embedded?: EmbeddedEngine;
  /** Things that are probably not meant, one sentence each, free of secrets. */
  readonly warnings: readonly string[];
}

/** Name of the connection that the top-level options or the environment describe. */
export const DEFAULT_CONNECTION = 'default';

/** What applies when neither options nor environment say otherwise. */
export const CONFIGURATION_DEFAULTS = Object.freeze({
  app: 'app',
  connectTimeoutMs: 2_000,
  commandTimeoutMs: 1_500,
  socketTimeoutMs: 2_000,
  bootMode: 'wait',
  bootTimeoutMs: 10_000,
  shutdownTimeoutMs: 25_000,
});
