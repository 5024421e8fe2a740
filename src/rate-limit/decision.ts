import { ConfigurationError } from '../common/index.js';
import type { PolicySet } from './policy-set.js';
import { RateLimitReceipt } from './receipt.js';

/** State of one policy after a decision. */
export interface RateLimitPolicyState {
  /** Name of the policy. */
  readonly name: string;
  /** Most units the window holds. */
  readonly limit: number;
  /** Units that still fit now. */
  readonly remaining: number;
  /** Milliseconds until nothing is counted any more and `remaining` is all there is. 0 when unused. */
  readonly resetMs: number;
  /** Milliseconds until the cost fits, if nobody else comes; 0 when it fits now. */
  readonly waitMs: number;
  /** Length of the window. */
  readonly windowMs: number;
  /** Whether the policy refuses everything for a while because it had to refuse before. */
  readonly blocked: boolean;
}

/**
 * Who decided.
 *
 * - `redis`: the server
 * - `deny-cache`: this process, which remembers a refusal that still holds
 * - `local`: this process alone, with its share of the limits, because the server does not answer
 * - `open`: nobody; the server does not answer and every policy is `onError: 'open'`
 */
export type RateLimitSource = 'redis' | 'deny-cache' | 'local' | 'open';

/** Answer of the limiter. A refusal is an answer, not an error. */
export interface RateLimitDecision {
  /** Whether every policy had room; only then was anything counted. */
  readonly allowed: boolean;
  /** Names of the policies without room; empty when allowed. */
  readonly violated: readonly string[];
  /** Names of the policies in shadow mode without room: they would have refused. */
  readonly shadowed: readonly string[];
  /** Milliseconds until all policies have room again, if nobody else comes; 0 when allowed. */
  readonly retryAfterMs: number;
  /** Who decided. */
  readonly source: RateLimitSource;
  /**
   * One entry per policy, in the order asked; without those that are `open` when decided locally. A refusal from
   * memory tells about the identity it is remembered of. On a Cluster several identities come by server, and a
   * refusal tells about those that were asked.
   */
  readonly policies: readonly RateLimitPolicyState[];
  /** What `refund` takes; present when something was counted. */
  readonly receipt?: RateLimitReceipt;
}

const NONE: readonly string[] = Object.freeze([]);

/** Decision while Redis does not answer and every policy is `open`: what remains is not known. */
export const OPEN_DECISION: RateLimitDecision = Object.freeze({
  allowed: true,
  violated: NONE,
  shadowed: NONE,
  retryAfterMs: 0,
  source: 'open',
  policies: Object.freeze([]),
});

/** What a reply is about. */
export interface Demand {
  /** Escaped identity. */
  readonly identity: string;
  readonly set: PolicySet;
  /** Units per policy of the set, or one number for all. */
  readonly cost: number | readonly number[];
}

/** Identities one call may name; with the policies of each it bounds the work of the script. */
const MAX_DEMANDS = 16;

/** @throws {ConfigurationError} when there is no demand, too many, or two that count in one place */
export function assertDemands(demands: readonly Demand[]): void {
  if (demands.length === 0 || demands.length > MAX_DEMANDS) {
    throw new ConfigurationError(
      `A rate limit call names ${demands.length} identities; give 1 to ${MAX_DEMANDS}`,
    );
  }
  const places = demands.flatMap(({ identity, set }) =>
    set.policies.map(({ keySuffix }) => identity + keySuffix),
  );
  if (new Set(places).size < places.length) {
    throw new ConfigurationError(
      'A rate limit call names one policy twice for the same identity; give it once',
    );
  }
}

/**
 * Reads a reply of the scripts, or of the limiter in memory: allowed, time, then per policy remaining,
 * time until unused and time until the cost fits, in microseconds.
 *
 * @param counted whether the call takes what it is allowed
 */
export function toDecision(
  demands: readonly Demand[],
  reply: readonly number[],
  source: RateLimitSource,
  counted: boolean,
): RateLimitDecision {
  const allowed = reply[0] === 1;
  const policies: RateLimitPolicyState[] = [];
  let violated = NONE as string[];
  let shadowed = NONE as string[];
  let longestUs = 0;
  let at = 2;
  for (const { set } of demands) {
    for (const { name, limit, windowMs, shadow } of set.policies) {
      const remaining = reply[at]!;
      const waitUs = reply[at + 2]!;
      policies.push({
        name,
        limit,
        remaining: remaining < 0 ? 0 : remaining,
        resetMs: toMs(reply[at + 1]!),
        waitMs: toMs(waitUs),
        windowMs,
        blocked: remaining < 0,
      });
      if (waitUs > 0) {
        if (shadow) shadowed = [...shadowed, name];
        else if (!allowed) violated = [...violated, name];
        if (!shadow && waitUs > longestUs) longestUs = waitUs;
      }
      at += 3;
    }
  }
  return {
    allowed,
    violated,
    shadowed,
    // Of an allowed call only a reservation has to wait.
    retryAfterMs: toMs(longestUs),
    source,
    policies,
    ...(allowed && counted ? { receipt: new RateLimitReceipt(demands, reply, source) } : undefined),
  };
}

function toMs(us: number): number {
  return us === 0 ? 0 : Math.ceil(us / 1000);
}

/** Joins the decisions of one request about several identities, in the order they were made. */
export function mergeDecisions(decisions: readonly RateLimitDecision[]): RateLimitDecision {
  if (decisions.length === 1) return decisions[0]!;
  const allowed = decisions.every((decision) => decision.allowed);
  return {
    allowed,
    violated: decisions.flatMap(({ violated }) => violated),
    shadowed: decisions.flatMap(({ shadowed }) => shadowed),
    retryAfterMs: Math.max(0, ...decisions.map(({ retryAfterMs }) => retryAfterMs)),
    source: weakestSource(decisions),
    policies: decisions.flatMap(({ policies }) => policies),
    ...(allowed ? { receipt: RateLimitReceipt.join(decisions) } : undefined),
  };
}

/** Least authority last. */
const AUTHORITY: readonly RateLimitSource[] = ['redis', 'deny-cache', 'local', 'open'];

function weakestSource(decisions: readonly RateLimitDecision[]): RateLimitSource {
  const weakest = Math.max(...decisions.map(({ source }) => AUTHORITY.indexOf(source)));
  return AUTHORITY[weakest] ?? 'redis';
}
