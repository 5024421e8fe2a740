export { withDefaultServer } from './configuration.js';
export { describeConnection, describeTarget, redactConnection, type ConnectionTarget } from './describe.js';
export type { HostInput, HostPort } from './endpoint.js';
export type { EnvironmentVariables } from './environment.js';
export type {
  BootMode,
  ClusterOptions,
  ConnectionOptions,
  CredentialProvider,
  EmbeddedEngine,
  Environment,
  ProvidedCredentials,
  RednestOptions,
  RoleOptions,
  RolesOptions,
  SentinelOptions,
  ServerPreset,
  TimeoutOptions,
  TlsOptions,
} from './options.js';
export { resolveConfiguration, type ResolveSettings } from './resolve.js';
export {
  CONFIGURATION_DEFAULTS,
  DEFAULT_CONNECTION,
  type ConnectionPlace,
  type ConnectionTimeouts,
  type RednestConfiguration,
  type ResolvedConnection,
  type ResolvedTls,
} from './resolved.js';
export type { NatMap } from './nat-map.js';
export type { LimitsByRole } from './role-limits.js';
export type { ConnectionRole, RoleLimits } from './roles.js';
export { parseRedisUrl, type RedisEndpoint, type UrlLogin } from './url.js';
export { ENVIRONMENT_VARIABLES, type VariableName } from './variables.js';
