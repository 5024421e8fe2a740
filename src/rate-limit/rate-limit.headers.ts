import { serializeList, type List } from 'structured-headers';
import type { RateLimitDecision } from './decision.js';

/** Response header names and values. */
export type HeaderFields = readonly (readonly [name: string, value: string])[];

/**
 * Fields that tell a client about its limits: `RateLimit-Policy` (`q` quota, `w` window) and
 * `RateLimit` (`r` remaining, `t` seconds), plus `Retry-After` on a refusal. Seconds are rounded up. A
 * window below a second is advertised without `w`, which must be a whole number of seconds. Nothing
 * is sent about a decision made without the server: what remains is not known.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */
export function rateLimitFields(decision: RateLimitDecision): HeaderFields {
  const fields: [string, string][] = [];
  if (decision.policies.length > 0) {
    fields.push(['RateLimit-Policy', serializeList(quotas(decision))]);
    fields.push(['RateLimit', serializeList(states(decision))]);
  }
  if (!decision.allowed) fields.push(['Retry-After', String(retryAfterSeconds(decision))]);
  return fields;
}

/** Whole seconds for `Retry-After`: rounded up, at least 1. */
export function retryAfterSeconds({ retryAfterMs }: { readonly retryAfterMs: number }): number {
  return Math.max(1, Math.ceil(retryAfterMs / 1000));
}

function quotas({ policies }: RateLimitDecision): List {
  return policies.map(({ name, limit, windowMs }) => {
    const parameters = new Map([['q', limit]]);
    if (windowMs >= 1000) parameters.set('w', Math.ceil(windowMs / 1000));
    return [name, parameters];
  });
}

/** `Retry-After` must not end before `t`, so a violated policy's `t` is when it has room again. */
function states(decision: RateLimitDecision): List {
  const retry = retryAfterSeconds(decision);
  return decision.policies.map(({ name, remaining, resetMs }) => {
    const t = decision.violated.includes(name) ? retry : Math.ceil(resetMs / 1000);
    return [
      name,
      new Map([
        ['r', remaining],
        ['t', t],
      ]),
    ];
  });
}
