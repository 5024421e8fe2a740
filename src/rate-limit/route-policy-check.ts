import { ConfigurationError } from '../common/index.js';
import { resolveConcurrency } from './concurrency.js';
import { resolvePolicy } from './resolved-policy.js';
import type { RouteConcurrency, RoutePolicy } from './route-policy.js';

const KEYS = ['ip', 'user', 'tenant', 'api-key'];
const SCOPES = ['global', 'class', 'route'];
const STAGES = ['pre-auth', 'post-auth'];
const OUTCOMES = ['failures', 'successes'];
const CHARGES = ['operation', 'field'];

/** @throws {ConfigurationError} when a policy's own values, or what it says about requests, cannot be used */
export function assertRoutePolicy(policy: RoutePolicy): void {
  const { name, capacity } = resolvePolicy(policy, 'local');
  const what = `Rate limit policy "${name}"`;
  assertTarget(what, policy);
  assertOneOf(what, 'stage', policy.stage, STAGES);
  assertOneOf(what, 'countOnly', policy.countOnly, OUTCOMES);
  assertOneOf(what, 'charge', policy.charge, CHARGES);
  if (policy.countOnly === 'successes' && policy.stage === 'pre-auth') {
    throw new ConfigurationError(
      `${what} counts successes only, before guards that may refuse; leave "stage" out, or make it "post-auth"`,
    );
  }
  const { cost = 1 } = policy;
  if (typeof cost === 'function') return;
  if (Number.isInteger(cost) && cost >= 1 && cost <= capacity) return;
  throw new ConfigurationError(
    `${what} has cost ${String(cost)}; give a whole number from 1 to ${capacity}, or a function`,
  );
}

/** @throws {ConfigurationError} when a concurrency policy cannot be used */
export function assertRouteConcurrency(policy: RouteConcurrency): void {
  const { name } = resolveConcurrency(policy, 'local');
  assertTarget(`Concurrency policy "${name}"`, policy);
}

function assertTarget(what: string, { key = 'ip', scope }: RouteConcurrency | RoutePolicy): void {
  if (typeof key !== 'function' && !KEYS.includes(key)) {
    throw new ConfigurationError(`${what} has ${describe(key)} as key; give ${list(KEYS)} or a function`);
  }
  assertOneOf(what, 'scope', scope, SCOPES);
}

function assertOneOf(what: string, property: string, value: unknown, accepted: readonly string[]): void {
  if (value === undefined || accepted.includes(value as string)) return;
  throw new ConfigurationError(`${what} has ${describe(value)} as ${property}; give ${list(accepted)}`);
}

function describe(value: unknown): string {
  return typeof value === 'string' ? `"${value.slice(0, 64)}"` : `a ${typeof value}`;
}

function list(values: readonly string[]): string {
  return values.map((value) => `"${value}"`).join(', ');
}
