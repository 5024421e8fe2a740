import type {
  ConnectionOptions,
  EmbeddedEngine,
  Environment,
  ServerPreset,
  TimeoutOptions,
} from './options.js';
import { checkConnection, pickOption, serverFromOptions, type CheckedOptions } from './options-reader.js';
import { PRESETS } from './presets.js';
import { DEFAULT_CONNECTION, type ConnectionTimeouts, type ResolvedConnection } from './resolved.js';
import { resolveRoles } from './role-limits.js';
import { serverDetails, serverForms, type ServerInput } from './server-input.js';
import { resolveServer } from './server.js';
import type { Resolution } from './settings.js';
import { misspeltVariables } from './suggestions.js';
import { durationOption, resolveTimeouts, type TimeoutInput } from './timeouts.js';
import type { Labelled } from './faults.js';
import { MAX_TIMEOUT_MS } from './variables.js';

/** Whether nothing says where the server is. */
export function namesNoServer(server: ServerInput): boolean {
  return serverForms(server).length === 0;
}

/** The deadlines of one connection: its options, else the environment, else the defaults. */
export function connectionTimeouts(
  checked: CheckedOptions<ConnectionOptions>,
  { variables, faults }: Resolution,
  preset: Labelled<ServerPreset> | undefined,
): ConnectionTimeouts | undefined {
  const item = pickOption(checked, 'timeouts');
  if (item && item.value === undefined) return undefined;
  const pick = (name: keyof TimeoutOptions): Labelled<number> | undefined => {
    const value = item?.value?.[name];
    const label = `Option "${checked.prefix}timeouts.${name}"`;
    return value === undefined ? undefined : durationOption({ label, value }, MAX_TIMEOUT_MS, faults);
  };
  const input: TimeoutInput = {
    connect: pick('connect') ?? variables.REDIS_CONNECT_TIMEOUT_MS,
    command: pick('command') ?? variables.REDIS_COMMAND_TIMEOUT_MS,
    socket: pick('socket') ?? variables.REDIS_SOCKET_TIMEOUT_MS,
  };
  return resolveTimeouts(input, faults, preset?.value && PRESETS[preset.value].connectTimeoutMs);
}

/** Resolves the further servers that the options name; one with faults is left out. */
export function addNamedConnections(
  connections: Map<string, ResolvedConnection>,
  resolution: Resolution,
): void {
  const item = pickOption(resolution.settings, 'connections');
  for (const [name, options] of Object.entries(item?.value ?? {})) {
    const connection = resolveNamed(name, options, resolution);
    if (connection) connections.set(name, connection);
  }
}

function resolveNamed(
  name: string,
  options: unknown,
  resolution: Resolution,
): ResolvedConnection | undefined {
  const { faults } = resolution;
  const problem = nameProblem(name);
  if (problem) {
    faults.push(`Option "connections" has a connection ${problem}`);
    return undefined;
  }
  const checked = checkConnection(options, `connections.${name}.`, faults);
  const server = serverFromOptions(checked);
  if (namesNoServer(server)) {
    if (checked.broken.size === 0) faults.push(`Option "connections.${name}" names no server; ${SERVER_FIX}`);
    return undefined;
  }
  const timeouts = connectionTimeouts(checked, resolution, server.preset);
  return resolveServer(server, timeouts, faults, resolveRoles(checked, timeouts, faults));
}

const SERVER_FIX = 'give it a url, host, path, sentinels or cluster';

function nameProblem(name: string): string | undefined {
  if (name === DEFAULT_CONNECTION)
    return 'called "default"; describe that one at the top level of the options';
  if (/^[A-Za-z][A-Za-z0-9_-]{0,31}$/.test(name)) return undefined;
  return 'with an unusable name; start with a letter and use letters, digits, - and _ (at most 32)';
}

/** The engine to start when no server is configured, or the fault that one is missing. */
export function embeddedEngine(
  { settings, env, faults }: Resolution,
  server: ServerInput,
  environment: Environment,
): EmbeddedEngine | undefined {
  const details = serverDetails(server).map((detail) => detail.label);
  const engine = pickOption(settings, 'embedded');
  const isProduction = environment === 'production' || env.NODE_ENV === 'production';
  if (engine && !isProduction && details.length === 0) return engine.value;
  faults.push(noServerFault(details, engine !== undefined && isProduction, misspeltVariables(env)));
  return undefined;
}

function noServerFault(details: readonly string[], isRefused: boolean, hints: readonly string[]): string {
  const refused = isRefused
    ? ' The embedded engine is refused in production: every process would have its own data.'
    : '';
  const unused = details.length > 0 ? ` Of no use without a server: ${details.join(', ')}.` : '';
  const hint = hints.map((text) => ` ${text}`).join('');
  return (
    'No Redis server is configured: set REDIS_URL (redis://host:6379/0), or REDIS_HOST, or REDIS_SENTINEL_HOSTS ' +
    'with REDIS_SENTINEL_NAME, or REDIS_CLUSTER_NODES; nothing falls back to localhost. For development without ' +
    `a server pass the option embedded: EmbeddedRedis from rednest/embedded.${refused}${unused}${hint}`
  );
}
