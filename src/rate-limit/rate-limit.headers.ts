import type { RateLimitDecision, RateLimitPolicyState } from './decision.js';
import type { RateLimitHeaders } from './request-options.js';

/** Response header names and values. */
export type HeaderFields = readonly (readonly [name: string, value: string])[];

const NO_SHADOWS: ReadonlySet<string> = new Set();

/**
 * Fields that tell a client about its limits: `RateLimit-Policy` (`q` quota, `w` window) and
 * `RateLimit` (`r` remaining, `t` seconds), plus `Retry-After` on a refusal. Seconds are rounded up. A
 * window below a second is advertised without `w`, which must be a whole number of seconds. What this
 * process decided alone carries the parameter `local`: others may have taken more. Policies in shadow mode
 * are not told, because they do not limit.
 *
 * Written by hand: names and numbers of policies need no escaping, and every request pays for this.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */
export function rateLimitFields(
  decision: RateLimitDecision,
  { fields, legacy }: Readonly<Required<RateLimitHeaders>>,
  shadows: ReadonlySet<string> = NO_SHADOWS,
): HeaderFields {
  const states =
    shadows.size === 0 ? decision.policies : decision.policies.filter(({ name }) => !shadows.has(name));
  const result: [string, string][] = [];
  if (states.length > 0 && (fields !== false || legacy)) {
    const retry = retryAfterSeconds(decision);
    const isViolated = (name: string): boolean => decision.violated.includes(name);
    const shown = fields === 'all' ? states : tightest(states, decision);
    if (fields !== false) {
      const mark = decision.source === 'local' ? ';local' : '';
      result.push(['RateLimit-Policy', states.map(quota).join(', ')]);
      result.push([
        'RateLimit',
        // Retry-After must not end before `t`, so a violated policy's `t` is when it has room again.
        shown
          .map(
            (state) =>
              `"${state.name}";r=${state.remaining};t=${isViolated(state.name) ? retry : seconds(state)}${mark}`,
          )
          .join(', '),
      ]);
    }
    if (legacy)
      result.push(...legacyFields(shown[0]!, isViolated(shown[0]!.name) ? retry : seconds(shown[0]!)));
  }
  if (!decision.allowed) result.push(['Retry-After', String(retryAfterSeconds(decision))]);
  return result;
}

/** Whole seconds for `Retry-After`: rounded up, at least 1. */
export function retryAfterSeconds({ retryAfterMs }: { readonly retryAfterMs: number }): number {
  return Math.max(1, Math.ceil(retryAfterMs / 1000));
}

function quota({ name, limit, windowMs }: RateLimitPolicyState): string {
  return windowMs < 1000 ? `"${name}";q=${limit}` : `"${name}";q=${limit};w=${Math.ceil(windowMs / 1000)}`;
}

function seconds({ resetMs }: RateLimitPolicyState): number {
  return Math.ceil(resetMs / 1000);
}

/** The policies that refuse; without any, the one that lets the fewest further requests through. */
function tightest(
  states: readonly RateLimitPolicyState[],
  { violated }: RateLimitDecision,
): readonly RateLimitPolicyState[] {
  if (violated.length > 0) return states.filter(({ name }) => violated.includes(name));
  let least = states[0]!;
  for (const state of states) if (state.remaining < least.remaining) least = state;
  return [least];
}

function legacyFields({ limit, remaining }: RateLimitPolicyState, reset: number): [string, string][] {
  return [
    ['X-RateLimit-Limit', String(limit)],
    ['X-RateLimit-Remaining', String(remaining)],
    ['X-RateLimit-Reset', String(reset)],
  ];
}
