import { ConfigurationError, escapeKeyPart, resolveDuration, type Duration } from '../common/index.js';
import type { Policy, PolicyLimitsFunction, RateLimitAlgorithm, RateLimitOnError } from './policy.js';

/** A checked block; lengths in microseconds. */
export interface ResolvedBlock {
  readonly after: number;
  readonly decayUs: number;
  /** Empty: only blocks set by hand. */
  readonly lengthsUs: readonly number[];
}

/** A checked {@link Policy}, with what a call needs of it worked out beforehand. */
export interface ResolvedPolicy {
  readonly name: string;
  /** Part of the key that tells counters of one identity apart: the name, qualified by its scope. */
  readonly counter: string;
  readonly algorithm: RateLimitAlgorithm;
  readonly limit: number;
  readonly windowMs: number;
  /** Most units one call may take. */
  readonly capacity: number;
  readonly shadow: boolean;
  readonly block: ResolvedBlock | undefined;
  readonly onError: RateLimitOnError;
  readonly resolve: PolicyLimitsFunction | undefined;
  /** What follows the identity in the key of the counter. */
  readonly keySuffix: string;
  /** The same for the block; `undefined` without one. */
  readonly blockSuffix: string | undefined;
  /** As {@link keySuffix}, of the time of the last reset. */
  readonly resetSuffix: string;
  /** Letter of the algorithm; a second one says that rules follow. */
  readonly kind: string;
  readonly windowUs: number;
  /** What the algorithm needs beside limit and window. */
  readonly param: number;
  /** Shadow and block as the scripts take them; empty for most policies. */
  readonly rules: readonly number[];
}

const MAX_LIMIT = 1_000_000_000;
const MAX_LOG_LIMIT = 1_000;
const MAX_WINDOW_MS = 31 * 86_400_000;
const MAX_BLOCKS = 16;
const NAME = /^[\w.-]{1,64}$/;
/** Of `gcra`, which counts time in nanoseconds. */
const MAX_PER_MS = 1_000_000;
const PRECISIONS = [5, 10, 20, 25, 40, 50];
const DEFAULT_PRECISION = 20;
/** Of a block set by hand: never reached by counting. */
const NEVER = 4_294_967_295;

const LETTERS = { sliding: 's', 'sliding-log': 'l', gcra: 'g', fixed: 'f' } as const;

/**
 * Checks a policy and fills in its defaults.
 *
 * @param counter name of the counter when it is not the policy's name
 * @throws {ConfigurationError} naming the policy and the property that cannot be used
 */
export function resolvePolicy(policy: Policy, onError: RateLimitOnError, counter?: string): ResolvedPolicy {
  const { name, algorithm = 'sliding' } = policy;
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new ConfigurationError(
      `A rate limit policy has no usable name (${typeof name}); use 1 to 64 letters, digits and . _ -`,
    );
  }
  if (!Object.hasOwn(LETTERS, algorithm)) {
    const known = Object.keys(LETTERS).map((key) => `"${key}"`);
    throw fault(name, 'algorithm', algorithm, known.join(', '));
  }
  const limit = whole(name, 'limit', policy.limit, algorithm === 'sliding-log' ? MAX_LOG_LIMIT : MAX_LIMIT);
  const windowMs = duration(policy.window, `${name}.window`);
  const param = resolveParam(policy, algorithm, limit, windowMs);
  const block = resolveBlock(policy);
  const shadow = flag(name, 'shadow', policy.shadow);
  const escaped = escapeKeyPart(counter ?? name);
  const hasRules = shadow || block !== undefined;
  return Object.freeze({
    name,
    counter: counter ?? name,
    algorithm,
    limit,
    windowMs,
    capacity: algorithm === 'gcra' ? param : limit,
    shadow,
    block,
    onError: resolveOnError(policy.onError ?? onError, `${name}.onError`),
    resolve: resolveFunction(policy),
    keySuffix: `}:${LETTERS[algorithm]}:${escaped}${precisionSuffix(algorithm, param, windowMs)}`,
    blockSuffix: block && `}:b:${escaped}`,
    resetSuffix: `}:r:${escaped}`,
    kind: hasRules ? `${LETTERS[algorithm]}+` : LETTERS[algorithm],
    windowUs: windowMs * 1000,
    param,
    rules: hasRules ? toRules(shadow, block) : [],
  });
}

/** @throws {ConfigurationError} when the value is none of the three */
export function resolveOnError(value: unknown, name: string): RateLimitOnError {
  if (value === 'local' || value === 'open' || value === 'closed') return value;
  throw new ConfigurationError(
    `Option "${name}" is ${typeof value} ${String(value)}; give "local", "open" or "closed"`,
  );
}

function precisionSuffix(algorithm: RateLimitAlgorithm, precision: number, windowMs: number): string {
  return algorithm === 'sliding' ? `:${precision}:${windowMs.toString(36)}` : '';
}

function resolveParam(
  policy: Policy,
  algorithm: RateLimitAlgorithm,
  limit: number,
  windowMs: number,
): number {
  const { name, burst, precision, align } = policy;
  if (burst !== undefined && algorithm !== 'gcra') throw stray(name, 'burst', 'gcra');
  if (precision !== undefined && algorithm !== 'sliding') throw stray(name, 'precision', 'sliding');
  if (align !== undefined && algorithm !== 'fixed') throw stray(name, 'align', 'fixed');
  switch (algorithm) {
    case 'gcra':
      return resolveBurst(name, burst ?? limit, limit, windowMs);
    case 'sliding':
      if (precision === undefined) return DEFAULT_PRECISION;
      if (PRECISIONS.includes(precision)) return precision;
      throw fault(name, 'precision', String(precision), PRECISIONS.join(', '));
    case 'fixed':
      if (align === undefined || align === 'first') return 0;
      if (align === 'utc') return 1;
      throw fault(name, 'align', String(align), '"first" or "utc"');
    case 'sliding-log':
      return 0;
  }
}

function resolveBurst(name: string, burst: number, limit: number, windowMs: number): number {
  whole(name, 'burst', burst, MAX_LIMIT);
  if (limit > windowMs * MAX_PER_MS) {
    throw fault(name, 'limit', String(limit), `at most ${MAX_PER_MS} per millisecond of the window`);
  }
  if ((burst / limit) * windowMs <= MAX_WINDOW_MS) return burst;
  throw fault(name, 'burst', String(burst), 'a number that refills within 31 days');
}

function resolveBlock({ name, block }: Policy): ResolvedBlock | undefined {
  if (block === undefined) return undefined;
  const list = block.for === 'manual' ? [] : Array.isArray(block.for) ? block.for : [block.for];
  if (list.length > MAX_BLOCKS || (list.length === 0 && block.for !== 'manual')) {
    throw fault(name, 'block.for', `a list of ${list.length}`, `1 to ${MAX_BLOCKS} durations`);
  }
  const lengthsMs = (list as readonly Duration[]).map((length) => duration(length, `${name}.block.for`));
  const decayMs =
    block.decay === undefined ? Math.max(1, ...lengthsMs) : duration(block.decay, `${name}.block.decay`);
  return {
    after: list.length === 0 ? NEVER : whole(name, 'block.after', block.after ?? 1, 1_000_000),
    decayUs: decayMs * 1000,
    lengthsUs: lengthsMs.map((ms) => ms * 1000),
  };
}

function toRules(shadow: boolean, block: ResolvedBlock | undefined): number[] {
  const { after = 0, decayUs = 0, lengthsUs = [] } = block ?? {};
  return [shadow ? 1 : 0, after, decayUs, lengthsUs.length, ...lengthsUs];
}

function resolveFunction({ name, resolve }: Policy): Policy['resolve'] {
  if (resolve === undefined || typeof resolve === 'function') return resolve;
  throw fault(name, 'resolve', typeof resolve, 'a function of the identity');
}

function duration(value: Duration, name: string): number {
  return resolveDuration(value, name, { maxMs: MAX_WINDOW_MS });
}

function flag(policy: string, property: string, value: unknown): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  throw fault(policy, property, typeof value, 'true or false');
}

function whole(policy: string, property: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw fault(policy, property, String(value), `a whole number from 1 to ${max}`);
}

function fault(policy: string, property: string, value: string, accepted: string): ConfigurationError {
  return new ConfigurationError(
    `Rate limit policy "${policy}" has ${property} ${value.slice(0, 64)}; give ${accepted}`,
  );
}

function stray(policy: string, property: string, algorithm: RateLimitAlgorithm): ConfigurationError {
  return new ConfigurationError(
    `Rate limit policy "${policy}" has ${property}, which is for algorithm "${algorithm}"; remove it or name that one`,
  );
}

/** Whether an allowed call was counted by a policy: one in shadow mode without room lets pass and counts nothing. */
export function isCounted({ shadow }: ResolvedPolicy, waitUs: number): boolean {
  return !shadow || waitUs === 0;
}
