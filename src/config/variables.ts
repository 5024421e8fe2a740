import { z } from 'zod';
import { MAX_DB } from './endpoint.js';
import { PRESET_NAMES } from './presets.js';

/** The message completes "<variable> must be ...". */
const integer = (min: number, max: number, unit = '') => {
  const rule = `a whole number${unit} from ${min} to ${max}`;
  return z
    .string()
    .regex(/^(0|[1-9]\d*)$/, rule)
    .transform(Number)
    .refine((value) => value >= min && value <= max, rule);
};
const milliseconds = (max: number) => integer(1, max, ' of milliseconds');
const boolean = z.enum(['true', 'false'], 'true or false').transform((value) => value === 'true');

/** Longest connection timeout that can be set: ten minutes. */
export const MAX_TIMEOUT_MS = 600_000;
/** Longest boot or shutdown that can be set: one hour. */
export const MAX_PHASE_MS = 3_600_000;

/** What start-up can do while a server is not ready. */
export const BOOT_MODES = ['wait', 'lazy', 'degraded'] as const;

/** Variables that say where a server is and how to log in. */
const SERVER_SHAPE = {
  REDIS_URL: z.string(),
  REDIS_HOST: z.string(),
  REDIS_PORT: integer(1, 65_535),
  REDIS_USERNAME: z.string(),
  REDIS_PASSWORD: z.string(),
  REDIS_DB: integer(0, MAX_DB),
  REDIS_SENTINEL_HOSTS: z.string(),
  REDIS_SENTINEL_NAME: z.string(),
  REDIS_SENTINEL_USERNAME: z.string(),
  REDIS_SENTINEL_PASSWORD: z.string(),
  REDIS_CLUSTER_NODES: z.string(),
  REDIS_TLS: boolean,
  REDIS_TLS_CA_FILE: z.string(),
  REDIS_TLS_CERT_FILE: z.string(),
  REDIS_TLS_KEY_FILE: z.string(),
  REDIS_TLS_SERVERNAME: z.string(),
  REDIS_NAT_MAP: z.string(),
  REDIS_PRESET: z.enum(PRESET_NAMES, PRESET_NAMES.join(' or ')),
  REDIS_AUTO_PIPELINING: boolean,
};

const SETTINGS_SHAPE = {
  REDIS_APP_NAME: z.string(),
  REDIS_KEY_PREFIX: z.string(),
  REDIS_CONNECT_TIMEOUT_MS: milliseconds(MAX_TIMEOUT_MS),
  REDIS_COMMAND_TIMEOUT_MS: milliseconds(MAX_TIMEOUT_MS),
  REDIS_SOCKET_TIMEOUT_MS: milliseconds(MAX_TIMEOUT_MS),
  REDIS_BOOT_MODE: z.enum(BOOT_MODES, 'wait, lazy or degraded'),
  REDIS_BOOT_TIMEOUT_MS: milliseconds(MAX_PHASE_MS),
  REDIS_SHUTDOWN_TIMEOUT_MS: milliseconds(MAX_PHASE_MS),
  NODE_ENV: z.string(),
};

/** Shape of every variable, by name. */
export const VARIABLE_SHAPE = Object.freeze({ ...SERVER_SHAPE, ...SETTINGS_SHAPE });

/** Name of a variable Rednest reads. */
export type VariableName = keyof typeof VARIABLE_SHAPE;

/** What a variable holds once read. */
export type VariableValue<N extends VariableName> = z.output<(typeof VARIABLE_SHAPE)[N]>;

/** Every environment variable Rednest reads, in the order of the documentation. */
export const ENVIRONMENT_VARIABLES = Object.freeze(Object.keys(VARIABLE_SHAPE)) as readonly VariableName[];

/** The variables that describe the default server; unused when options name one. */
export const SERVER_VARIABLES = Object.freeze(Object.keys(SERVER_SHAPE)) as readonly VariableName[];

/** Variables whose value is a secret. */
export const SECRET_VARIABLES: ReadonlySet<VariableName> = new Set([
  'REDIS_PASSWORD',
  'REDIS_SENTINEL_PASSWORD',
]);
