import type { HostInput } from './endpoint.js';
import type { Labelled } from './faults.js';
import type { CredentialProvider, ServerPreset } from './options.js';
import { tlsMaterial, type TlsInput } from './tls.js';

/** Names for settings that are missing, so that a fault can say what to set. */
export interface ServerLabels {
  readonly host: string;
  readonly password: string;
  readonly sentinelHosts: string;
  readonly sentinelName: string;
  /** The way to switch TLS on. */
  readonly tls: string;
}

/** What options or environment say about one server, before the rules between them are checked. */
export interface ServerInput {
  readonly labels: ServerLabels;
  readonly url?: Labelled<string>;
  readonly host?: Labelled<string>;
  readonly port?: Labelled<number>;
  readonly path?: Labelled<string>;
  readonly username?: Labelled<string>;
  readonly password?: Labelled<string>;
  readonly credentials?: Labelled<CredentialProvider>;
  readonly db?: Labelled<number>;
  readonly sentinelHosts?: Labelled<readonly HostInput[]>;
  readonly sentinelName?: Labelled<string>;
  readonly sentinelUsername?: Labelled<string>;
  readonly sentinelPassword?: Labelled<string>;
  /** Absent: the Sentinels are reached as the server is. */
  readonly sentinelTls?: TlsInput;
  readonly clusterNodes?: Labelled<readonly HostInput[]>;
  readonly resolveNames?: Labelled<boolean>;
  readonly natMap?: Labelled<Readonly<Record<string, HostInput>>>;
  readonly preset?: Labelled<ServerPreset>;
  readonly autoPipelining?: Labelled<boolean>;
  readonly tls: TlsInput;
}

/** The settings that say where a server is, of which there may be one. */
export function serverForms(input: ServerInput): Labelled<unknown>[] {
  const sentinel = input.sentinelHosts ?? input.sentinelName;
  return [input.url, input.host, input.path, sentinel, input.clusterNodes].filter(
    (form) => form !== undefined,
  );
}

/** The settings that mean nothing without a server. */
export function serverDetails(input: ServerInput): Labelled<unknown>[] {
  const { port, username, password, credentials, db, sentinelUsername, sentinelPassword, tls } = input;
  const { natMap, preset } = input;
  const login = [port, username, password, credentials, db, sentinelUsername, sentinelPassword];
  const details = [...login, natMap, preset];
  return [...details, tls.enabled, ...tlsMaterial(tls)].filter((detail) => detail !== undefined);
}

/**
 * Adds what options say to the server of the environment when they name none themselves. Two
 * different values for one thing are a fault.
 */
export function completeServer(base: ServerInput, extra: ServerInput, faults: string[]): ServerInput {
  const tls: Record<string, Labelled<unknown> | undefined> = { ...base.tls };
  for (const [name, item] of Object.entries(extra.tls) as [string, Labelled<unknown>][]) {
    tls[name] = join(tls[name], item, faults);
  }
  return {
    ...base,
    username: join(base.username, extra.username, faults),
    password: join(base.password, extra.password, faults),
    credentials: extra.credentials,
    db: join(base.db, extra.db, faults),
    port: join(base.port, extra.port, faults),
    // Not what the server is, but how it is used: options win.
    natMap: extra.natMap ?? base.natMap,
    preset: extra.preset ?? base.preset,
    autoPipelining: extra.autoPipelining ?? base.autoPipelining,
    tls,
  };
}

function join<T>(
  base: Labelled<T> | undefined,
  extra: Labelled<T> | undefined,
  faults: string[],
): Labelled<T> | undefined {
  if (base?.value !== undefined && extra?.value !== undefined && base.value !== extra.value) {
    faults.push(`${extra.label} and ${base.label} differ; keep one of them`);
  }
  return extra ?? base;
}
