import type { z } from 'zod';
import { kindOf, type Labelled } from './faults.js';
import { CONNECTION_OPTION_NAMES, connectionSchema, settingsSchema } from './options-schema.js';
import type { ConnectionOptions, RednestOptions, TlsOptions } from './options.js';
import type { ServerInput } from './server-input.js';
import { nearest } from './suggestions.js';
import type { TlsInput } from './tls.js';

/** Names of the options that describe a server. */
const CONNECTION_NAMES = Object.keys(connectionSchema.shape) as (keyof ConnectionOptions)[];
const TOP_LEVEL_NAMES: readonly string[] = [...CONNECTION_NAMES, ...Object.keys(settingsSchema.shape)];

/** Options of one group after the check of their shape; those in {@link broken} must not be used. */
export interface CheckedOptions<T> {
  readonly values: T;
  /** Top-level names whose value has a fault. */
  readonly broken: ReadonlySet<string>;
  /** What comes before an option's own name: `''`, or `connections.cache.`. */
  readonly prefix: string;
}

/** Checks the shape of the options that describe one server. */
export function checkConnection(
  values: unknown,
  prefix: string,
  faults: string[],
): CheckedOptions<ConnectionOptions> {
  return check(connectionSchema, values, prefix, faults) as CheckedOptions<ConnectionOptions>;
}

/** Checks the shape of all other options, and picks out those of the default connection. */
export function checkSettings(options: RednestOptions, faults: string[]): CheckedOptions<RednestOptions> {
  for (const name of Object.keys(options)) {
    const meant =
      TOP_LEVEL_NAMES.includes(name) || name.length < 5 ? undefined : nearest(name, TOP_LEVEL_NAMES);
    if (meant) faults.push(`Option "${name}" does not exist; did you mean "${meant}"?`);
  }
  return check(settingsSchema, options, '', faults) as CheckedOptions<RednestOptions>;
}

/** The options at the top level that describe the default connection. */
export function defaultConnectionOptions(options: RednestOptions): ConnectionOptions {
  return Object.fromEntries(CONNECTION_NAMES.map((name) => [name, options[name]]));
}

function check(
  schema: z.ZodType,
  values: unknown,
  prefix: string,
  faults: string[],
): CheckedOptions<unknown> {
  const result = schema.safeParse(values);
  const broken = new Set<string>();
  for (const issue of result.error?.issues ?? []) {
    broken.add(String(issue.path[0]));
    faults.push(...describeIssue(issue, values, prefix));
  }
  return { values: isObject(values) ? values : {}, broken, prefix };
}

type Issue = z.core.$ZodIssue;

function describeIssue(issue: Issue, values: unknown, prefix: string): string[] {
  const inner = issue.code === 'invalid_union' ? deeperIssue(issue.errors) : undefined;
  if (inner) return describeIssue({ ...inner, path: [...issue.path, ...inner.path] }, values, prefix);
  const path = prefix + issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownOption(key, path));
  const value = issue.path.reduce<unknown>(
    (at, name) => (isObject(at) ? at[String(name)] : undefined),
    values,
  );
  const isNumeric = /number|duration/.test(issue.message);
  return [`Option "${path.replace(/\.$/, '')}" must be ${issue.message}, but is ${kindOf(value, isNumeric)}`];
}

/** Of a union's alternatives, the fault inside the one the user evidently meant. */
function deeperIssue(alternatives: readonly (readonly Issue[])[]): Issue | undefined {
  return alternatives.flat().find((issue) => issue.path.length > 0 || issue.code === 'unrecognized_keys');
}

function unknownOption(key: string, path: string): string {
  const parent = path === '' || path.endsWith('.') ? path : `${path}.`;
  const meant = nearest(key, CONNECTION_OPTION_NAMES);
  return `Option "${parent}${key}" does not exist; ${meant ? `did you mean "${meant}"?` : 'remove it'}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Turns one option into a labelled value; `undefined` when it is not given. */
export function pickOption<T, K extends keyof T & string>(
  checked: CheckedOptions<T>,
  name: K,
): Labelled<NonNullable<T[K]>> | undefined {
  const value = checked.values[name];
  if (value === undefined) return undefined;
  const label = `Option "${checked.prefix}${name}"`;
  return { label, value: checked.broken.has(name) ? undefined : (value as NonNullable<T[K]>) };
}

/** Turns the options of one server into the form the rules work on. */
export function serverFromOptions(checked: CheckedOptions<ConnectionOptions>): ServerInput {
  const { prefix } = checked;
  const sentinels = pickOption(checked, 'sentinels');
  const cluster = pickOption(checked, 'cluster');
  return {
    labels: labelsOf(prefix),
    url: pickOption(checked, 'url'),
    host: pickOption(checked, 'host'),
    port: pickOption(checked, 'port'),
    path: pickOption(checked, 'path'),
    username: pickOption(checked, 'username'),
    password: pickOption(checked, 'password'),
    credentials: pickOption(checked, 'credentials'),
    db: pickOption(checked, 'db'),
    sentinelHosts: inner(sentinels, 'hosts'),
    sentinelName: inner(sentinels, 'name'),
    sentinelUsername: sentinels?.value?.username === undefined ? undefined : inner(sentinels, 'username'),
    sentinelPassword: sentinels?.value?.password === undefined ? undefined : inner(sentinels, 'password'),
    sentinelTls: sentinelTls(sentinels?.value?.tls, `${prefix}sentinels.tls`),
    clusterNodes: inner(cluster, 'nodes'),
    resolveNames: cluster?.value?.resolveNames === undefined ? undefined : inner(cluster, 'resolveNames'),
    natMap: pickOption(checked, 'natMap'),
    preset: pickOption(checked, 'preset'),
    autoPipelining: pickOption(checked, 'autoPipelining'),
    tls: tlsInput(pickOption(checked, 'tls'), `${prefix}tls`),
  };
}

function labelsOf(prefix: string): ServerInput['labels'] {
  return {
    host: `option "${prefix}host"`,
    password: `option "${prefix}password"`,
    sentinelHosts: `option "${prefix}sentinels.hosts"`,
    sentinelName: `option "${prefix}sentinels.name"`,
    tls: `option "${prefix}tls"`,
  };
}

function inner<T extends object, K extends keyof T & string>(
  item: Labelled<T> | undefined,
  name: K,
): Labelled<NonNullable<T[K]>> | undefined {
  if (!item) return undefined;
  const label = item.label.replace(/"$/, `.${name}"`);
  return { label, value: item.value?.[name] ?? undefined };
}

function sentinelTls(tls: boolean | TlsOptions | undefined, path: string): TlsInput | undefined {
  return tls === undefined ? undefined : tlsInput({ label: `Option "${path}"`, value: tls }, path);
}

function tlsInput(tls: Labelled<boolean | TlsOptions> | undefined, path: string): TlsInput {
  if (!tls) return {};
  if (typeof tls.value !== 'object') return { enabled: { label: tls.label, value: tls.value } };
  const items: Record<string, Labelled<unknown>> = { enabled: { label: tls.label, value: true } };
  for (const [name, value] of Object.entries(tls.value)) {
    if (value !== undefined) items[name] = { label: `Option "${path}.${name}"`, value: asText(value) };
  }
  return items;
}

function asText(value: string | Uint8Array): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString('utf8');
}
