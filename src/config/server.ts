import { ConfigurationError } from '../common/index.js';
import { parseHost, parseHostList, REDIS_PORT, SENTINEL_PORT, type HostInput } from './endpoint.js';
import { collect, textProblem, type Labelled } from './faults.js';
import type { CredentialProvider } from './options.js';
import type { ConnectionPlace, ConnectionTimeouts, ResolvedConnection, ResolvedTls } from './resolved.js';
import type { LimitsByRole } from './role-limits.js';
import { conceal } from './secrets.js';
import { serverForms, type ServerInput } from './server-input.js';
import { checkNatMap, keepsNames, readNatMap, withServername } from './server-network.js';
import { resolveServerTls, resolveSwitch } from './server-tls.js';
import { parseRedisUrl, type RedisEndpoint } from './url.js';

/**
 * Checks the rules between the settings of one server and completes it.
 *
 * @param faults receives one sentence per fault
 * @returns the connection, or `undefined` when there was a fault
 */
export function resolveServer(
  input: ServerInput,
  timeouts: ConnectionTimeouts | undefined,
  faults: string[],
  roles?: LimitsByRole,
): ResolvedConnection | undefined {
  const before = faults.length;
  checkForms(input, faults);
  const endpoint = readEndpoint(input, faults);
  const material = resolveServerTls(input, endpoint, faults);
  const place = readPlace(input, endpoint, material, faults);
  const tls = place && withServername(material, place, input);
  checkNatMap(input, faults);
  const login = readLogin(input, endpoint, faults);
  if (faults.length > before || !place || !timeouts) return undefined;
  const autoPipelining = input.autoPipelining?.value ? (true as const) : undefined;
  return conceal({ ...place, ...login, tls, ...timeouts, roles, autoPipelining }, [
    'password',
    'sentinelPassword',
    'credentials',
  ]);
}

function checkForms(input: ServerInput, faults: string[]): void {
  const forms = serverForms(input);
  if (forms.length > 1) {
    const names = forms.map((form) => form.label).join(' and ');
    faults.push(
      `${names} each name a server; keep one of them and remove the ${forms.length > 2 ? 'others' : 'other'}`,
    );
  }
  if (input.port && !input.host) {
    const fix = input.url ? 'write the port into the URL' : `set ${input.labels.host} too`;
    faults.push(`${input.port.label} is only read together with ${input.labels.host}; ${fix}, or remove it`);
  }
  checkSentinel(input, faults);
}

function checkSentinel(input: ServerInput, faults: string[]): void {
  const { sentinelHosts: hosts, sentinelName: name, labels } = input;
  if (hosts && !name) {
    faults.push(
      `${hosts.label} is set without ${labels.sentinelName}; set the name the Sentinels give the primary, such as mymaster`,
    );
  }
  if (hosts) return;
  for (const item of [name, input.sentinelUsername, input.sentinelPassword]) {
    if (item)
      faults.push(
        `${item.label} is set without ${labels.sentinelHosts}; set it to host:port,host:port, or remove ${item.label}`,
      );
  }
}

function readEndpoint(input: ServerInput, faults: string[]): RedisEndpoint | undefined {
  const { url } = input;
  return url?.value === undefined ? undefined : collect(faults, () => parseRedisUrl(url.value!, url.label));
}

function readPlace(
  input: ServerInput,
  endpoint: RedisEndpoint | undefined,
  tls: ResolvedTls | undefined,
  faults: string[],
): (ConnectionPlace & { db?: number }) | undefined {
  return collect(faults, () => {
    if (endpoint) return placeOfUrl(endpoint);
    if (input.host?.value !== undefined) {
      return {
        mode: 'single',
        host: parseHost(input.host.value, input.host.label),
        port: input.port?.value ?? REDIS_PORT,
      };
    }
    if (input.path?.value !== undefined)
      return { mode: 'unix', path: socketPath(input.path.value, input.path.label) };
    if (input.clusterNodes?.value) return placeOfCluster(input.clusterNodes.value, input, tls);
    return input.sentinelHosts?.value
      ? placeOfSentinel(input.sentinelHosts.value, input, tls, faults)
      : undefined;
  });
}

function placeOfUrl(endpoint: RedisEndpoint): ConnectionPlace {
  if (endpoint.kind === 'unix') return { mode: 'unix', path: endpoint.path };
  return { mode: 'single', host: endpoint.host, port: endpoint.port };
}

function socketPath(path: string, label: string): string {
  const problem =
    textProblem(path) ?? (path.startsWith('/') ? undefined : 'is not an absolute path; start it with /');
  if (problem) throw new ConfigurationError(`${label} ${problem}`);
  return path;
}

function placeOfCluster(
  nodes: readonly HostInput[],
  input: ServerInput,
  tls: ResolvedTls | undefined,
): ConnectionPlace {
  const label = input.clusterNodes!.label;
  const place = {
    mode: 'cluster' as const,
    nodes: parseHostList(nodes, label, REDIS_PORT),
    ...(keepsNames(input, tls) ? { keepsNames: true as const } : {}),
    ...readNatMap(input),
  };
  if (!input.db?.value) return place;
  throw new ConfigurationError(
    `${input.db.label} is ${input.db.value}, but a cluster has database 0 only; remove it, or separate data by key prefix`,
  );
}

function placeOfSentinel(
  hosts: readonly HostInput[],
  input: ServerInput,
  tls: ResolvedTls | undefined,
  faults: string[],
): ConnectionPlace {
  const { sentinelTls, sentinelUsername: user, sentinelPassword: password } = input;
  if (user && !password) {
    faults.push(
      `${user.label} is set without a password for the Sentinels; set the password too, or remove the user`,
    );
  }
  return {
    mode: 'sentinel',
    hosts: parseHostList(hosts, input.sentinelHosts!.label, SENTINEL_PORT),
    name: input.sentinelName?.value ?? '',
    sentinelUsername: user?.value,
    sentinelPassword: password?.value,
    sentinelTls: sentinelTls ? resolveSwitch(sentinelTls, undefined, faults) : tls,
    ...readNatMap(input),
  };
}

function readLogin(
  input: ServerInput,
  endpoint: RedisEndpoint | undefined,
  faults: string[],
): { username?: string; password?: string; credentials?: CredentialProvider; db: number } {
  const username = complete('user name', endpoint?.username, input.username, input, faults);
  const password = complete('password', endpoint?.password, input.password, input, faults);
  const db = complete('database', endpoint?.db, input.db, input, faults) ?? 0;
  if (username !== undefined && password === undefined && !input.password) {
    const label = input.username?.label ?? `The user name in ${input.url!.label}`;
    faults.push(
      `${label} is set without a password; set ${input.labels.password}, or for a password alone write redis://:password@host`,
    );
  }
  const { credentials } = input;
  if (credentials && (username !== undefined || password !== undefined)) {
    const other = (input.password ?? input.username)?.label ?? `The login in ${input.url!.label}`;
    faults.push(`${other} and ${credentials.label} both say how to log in; keep one of them`);
  }
  return { username, password, credentials: credentials?.value, db };
}

function complete<T>(
  what: string,
  inUrl: T | undefined,
  item: Labelled<T> | undefined,
  input: ServerInput,
  faults: string[],
): T | undefined {
  if (inUrl !== undefined && item?.value !== undefined && inUrl !== item.value) {
    faults.push(`${item.label} and the ${what} in ${input.url!.label} differ; keep one of them`);
  }
  return inUrl ?? item?.value;
}
