import { kindOf, kindOfNumeral, textProblem, type Labelled } from './faults.js';
import { natPairs } from './nat-map.js';
import type { ServerInput } from './server-input.js';
import {
  ENVIRONMENT_VARIABLES,
  SECRET_VARIABLES,
  SERVER_VARIABLES,
  VARIABLE_SHAPE,
  type VariableName,
  type VariableValue,
} from './variables.js';

/** Environment as `process.env` gives it. */
export type EnvironmentVariables = Readonly<Record<string, string | undefined>>;

/** The variables that are set, read; one that is set but unusable has no value. */
export type ReadVariables = { readonly [N in VariableName]?: Labelled<VariableValue<N>> };

/**
 * Reads every variable Rednest knows. An empty one counts as unset; a blank one, one with white
 * space around it, one still in quotes and one with an unexpanded placeholder are faults.
 *
 * @param withServer when false, the variables that describe the default server are left alone
 * @param faults receives one sentence per unusable variable
 */
export function readVariables(
  env: EnvironmentVariables,
  withServer: boolean,
  faults: string[],
): ReadVariables {
  const out: Record<string, Labelled<unknown>> = {};
  for (const name of ENVIRONMENT_VARIABLES) {
    const text = env[name];
    if (text === undefined || text === '') continue;
    if (!withServer && SERVER_VARIABLES.includes(name)) continue;
    out[name] = { label: name, value: readVariable(name, text, faults) };
  }
  return out;
}

function readVariable(name: VariableName, text: string, faults: string[]): unknown {
  const problem = textProblem(text);
  if (problem) {
    faults.push(`${name} ${problem}${SECRET_VARIABLES.has(name) ? SECRET_HINT : ''}`);
    return undefined;
  }
  const result = VARIABLE_SHAPE[name].safeParse(text);
  if (result.success) return result.data;
  const rule = result.error.issues[0]!.message;
  const kind = /number/.test(rule) ? kindOfNumeral(text) : kindOf(text);
  faults.push(`${name} must be ${rule}, but is ${kind}`);
  return undefined;
}

const SECRET_HINT = ' (a password that really contains this goes into REDIS_URL, percent-encoded)';

/**
 * Orchestrators that link services by variables set REDIS_PORT to an address such as
 * `tcp://10.0.0.7:6379` for every service called `redis`. It is nobody's setting.
 */
export function isServiceLink(env: EnvironmentVariables): boolean {
  return /^tcp:\/\/[^\s]+$/.test(env.REDIS_PORT ?? '');
}

/** Picks the variables that describe the default server. */
export function serverFromVariables(read: ReadVariables): ServerInput {
  return {
    labels: VARIABLE_LABELS,
    url: read.REDIS_URL,
    host: read.REDIS_HOST,
    port: read.REDIS_PORT,
    username: read.REDIS_USERNAME,
    password: read.REDIS_PASSWORD,
    db: read.REDIS_DB,
    sentinelHosts: splitList(read.REDIS_SENTINEL_HOSTS),
    sentinelName: read.REDIS_SENTINEL_NAME,
    sentinelUsername: read.REDIS_SENTINEL_USERNAME,
    sentinelPassword: read.REDIS_SENTINEL_PASSWORD,
    clusterNodes: splitList(read.REDIS_CLUSTER_NODES),
    natMap: natPairs(read.REDIS_NAT_MAP),
    preset: read.REDIS_PRESET,
    autoPipelining: read.REDIS_AUTO_PIPELINING,
    tls: {
      enabled: read.REDIS_TLS,
      caFile: read.REDIS_TLS_CA_FILE,
      certFile: read.REDIS_TLS_CERT_FILE,
      keyFile: read.REDIS_TLS_KEY_FILE,
      servername: read.REDIS_TLS_SERVERNAME,
    },
  };
}

const VARIABLE_LABELS = Object.freeze({
  host: 'REDIS_HOST',
  password: 'REDIS_PASSWORD',
  sentinelHosts: 'REDIS_SENTINEL_HOSTS',
  sentinelName: 'REDIS_SENTINEL_NAME',
  tls: 'REDIS_TLS=true',
});

function splitList(item: Labelled<string> | undefined): Labelled<readonly string[]> | undefined {
  return item && { label: item.label, value: item.value?.split(',').map((entry) => entry.trim()) };
}
