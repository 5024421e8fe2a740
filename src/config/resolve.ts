import { ConfigurationError } from '../common/index.js';
import { freezeConfiguration } from './configuration.js';
import { addNamedConnections, connectionTimeouts, embeddedEngine, namesNoServer } from './connections.js';
import {
  isServiceLink,
  readVariables,
  serverFromVariables,
  type EnvironmentVariables,
} from './environment.js';
import type { ConnectionOptions, RednestOptions } from './options.js';
import {
  checkConnection,
  checkSettings,
  defaultConnectionOptions,
  serverFromOptions,
  type CheckedOptions,
} from './options-reader.js';
import {
  CONFIGURATION_DEFAULTS,
  DEFAULT_CONNECTION,
  type RednestConfiguration,
  type ResolvedConnection,
} from './resolved.js';
import { resolveRoles } from './role-limits.js';
import { completeServer, serverForms, type ServerInput } from './server-input.js';
import { resolveServer } from './server.js';
import {
  resolveApp,
  resolveBootMode,
  resolveEnvironment,
  resolvePhase,
  resolvePrefix,
  type Resolution,
} from './settings.js';
import { misspeltVariables } from './suggestions.js';

/** Settings of {@link resolveConfiguration} itself. */
export interface ResolveSettings {
  /** `false` when the application brings its own client for the default connection. @default true */
  serverRequired?: boolean;
}

/**
 * Turns options and environment into one complete, checked, frozen configuration.
 *
 * Options win over the environment. When options name a server for the default connection, the
 * variables that describe a server are not read at all; when they do not, options such as `password`
 * or `db` complete the server of the environment, and two different values are an error. Files with
 * TLS material are read here. Nothing falls back to localhost.
 *
 * @param env usually `process.env`
 * @throws {ConfigurationError} with every fault found, each naming its option or variable and a fix;
 * no message holds a secret
 */
export function resolveConfiguration(
  options: RednestOptions,
  env: EnvironmentVariables,
  { serverRequired = true }: ResolveSettings = {},
): RednestConfiguration {
  const faults: string[] = [];
  const given = options ?? {};
  const settings = checkSettings(given, faults);
  const checked = checkConnection(defaultConnectionOptions(given), '', faults);
  const own = serverFromOptions(checked);
  const readsServer = serverForms(own).length === 0;
  const resolution = startResolution(settings, env, readsServer, faults);
  const server = readsServer ? completeServer(serverFromVariables(resolution.variables), own, faults) : own;
  const configuration = build(resolution, checked, server, serverRequired);
  if (faults.length > 0) throw new ConfigurationError([...new Set(faults)]);
  return configuration;
}

function startResolution(
  settings: CheckedOptions<RednestOptions>,
  env: EnvironmentVariables,
  readsServer: boolean,
  faults: string[],
): Resolution {
  const warnings = misspeltVariables(env);
  if (!isServiceLink(env) || !readsServer) {
    return { settings, env, variables: readVariables(env, readsServer, faults), faults, warnings };
  }
  const variables = readVariables({ ...env, REDIS_PORT: undefined }, readsServer, faults);
  if (variables.REDIS_HOST) faults.push(`REDIS_PORT ${SERVICE_LINK}; set REDIS_PORT to the port number`);
  else warnings.push(`REDIS_PORT ${SERVICE_LINK}, and is ignored`);
  return { settings, env, variables, faults, warnings };
}

const SERVICE_LINK = 'is an address that the orchestrator set for a service called redis (tcp://...)';

function build(
  resolution: Resolution,
  checked: CheckedOptions<ConnectionOptions>,
  server: ServerInput,
  serverRequired: boolean,
): RednestConfiguration {
  const { faults, warnings } = resolution;
  const environment = resolveEnvironment(resolution);
  const timeouts = connectionTimeouts(checked, resolution, server.preset);
  const app = resolveApp(resolution, environment);
  const isMissing = namesNoServer(server);
  const embedded = isMissing && serverRequired ? embeddedEngine(resolution, server, environment) : undefined;
  const roles = resolveRoles(checked, timeouts, faults);
  const first = isMissing ? undefined : resolveServer(server, timeouts, faults, roles);
  const connections = new Map<string, ResolvedConnection>(first && [[DEFAULT_CONNECTION, first]]);
  addNamedConnections(connections, resolution);
  return freezeConfiguration({
    app,
    keyPrefix: resolvePrefix(resolution, app),
    environment,
    bootMode: resolveBootMode(resolution),
    bootTimeoutMs: resolvePhase(resolution, 'bootTimeout', 'REDIS_BOOT_TIMEOUT_MS'),
    shutdownTimeoutMs: resolvePhase(resolution, 'shutdownTimeout', 'REDIS_SHUTDOWN_TIMEOUT_MS'),
    connections,
    timeouts: timeouts ?? CONFIGURATION_DEFAULTS,
    ...(embedded && {
      embedded,
      embeddedUse: { roles, autoPipelining: server.autoPipelining?.value || undefined },
    }),
    warnings,
  });
}
