import type { ResolvedPolicy } from './policy.js';

/** State of one policy after a decision. */
export interface RateLimitPolicyState {
  /** Name of the policy. */
  readonly name: string;
  /** Most units the window holds. */
  readonly limit: number;
  /** Units that still fit now. */
  readonly remaining: number;
  /** Milliseconds until nothing is counted any more and `remaining` is `limit`. 0 when unused. */
  readonly resetMs: number;
  /** Length of the window. */
  readonly windowMs: number;
}

/** Answer of the limiter. A refusal is an answer, not an error. */
export interface RateLimitDecision {
  /** Whether every policy had room; only then was anything counted. */
  readonly allowed: boolean;
  /** Names of the policies without room; empty when allowed. */
  readonly violated: readonly string[];
  /** Milliseconds until all policies have room again, if nobody else comes; 0 when allowed. */
  readonly retryAfterMs: number;
  /** Who decided: the server, or `onError: 'open'` because the server did not answer. */
  readonly source: 'redis' | 'fallback';
  /** One entry per policy, in the order asked; empty when `source` is `'fallback'`. */
  readonly policies: readonly RateLimitPolicyState[];
}

/** Decision while Redis does not answer and every policy is `open`: what remains is not known. */
export const FALLBACK_DECISION: RateLimitDecision = Object.freeze({
  allowed: true,
  violated: Object.freeze([]),
  retryAfterMs: 0,
  source: 'fallback',
  policies: Object.freeze([]),
});

/** Reads the script's reply: allowed, then remaining, reset and wait per policy. */
export function toDecision(policies: readonly ResolvedPolicy[], reply: readonly number[]): RateLimitDecision {
  const violated: string[] = [];
  let retryAfterMs = 0;
  const states = policies.map(({ name, limit, windowMs }, index) => {
    const [remaining = 0, resetMs = 0, waitMs = 0] = reply.slice(1 + index * 3, 4 + index * 3);
    if (waitMs > 0) violated.push(name);
    retryAfterMs = Math.max(retryAfterMs, waitMs);
    return { name, limit, remaining, resetMs, windowMs };
  });
  return { allowed: reply[0] === 1, violated, retryAfterMs, source: 'redis', policies: states };
}

/** Joins the decisions of one request about several identities, in the order they were made. */
export function mergeDecisions(decisions: readonly RateLimitDecision[]): RateLimitDecision {
  if (decisions.length === 1) return decisions[0]!;
  return {
    allowed: decisions.every(({ allowed }) => allowed),
    violated: decisions.flatMap(({ violated }) => violated),
    retryAfterMs: Math.max(0, ...decisions.map(({ retryAfterMs }) => retryAfterMs)),
    source: decisions.some(({ source }) => source === 'fallback') ? 'fallback' : 'redis',
    policies: decisions.flatMap(({ policies }) => policies),
  };
}
