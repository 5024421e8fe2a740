import type { RateLimitExceededError, RateLimitUnavailableError } from './rate-limit.errors.js';
import { retryAfterSeconds } from './rate-limit.headers.js';

/** Body of a refusal: a problem document. @see https://www.rfc-editor.org/rfc/rfc9457 */
export interface RateLimitProblem {
  /** Kind of problem, from the IANA registry of HTTP problem types. */
  readonly type: string;
  /** Short text, the same for every problem of one type. */
  readonly title: string;
  /** 429 for a refusal, 503 when no decision could be made. */
  readonly status: 429 | 503;
  /** What happened to this request and when to come back. */
  readonly detail: string;
  /** Names of the policies without room, or, with status 503, that could not be evaluated. */
  readonly 'violated-policies': readonly string[];
}

/** Media type of {@link RateLimitProblem}. */
export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** Seconds a client is told to wait when no decision could be made. */
export const UNAVAILABLE_RETRY_AFTER_SECONDS = 5;

const REGISTRY = 'https://iana.org/assignments/http-problem-types';

/**
 * The problem document for a refusal: `quota-exceeded` (429), or `temporary-reduced-capacity` (503).
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */
export function toProblem(error: RateLimitExceededError | RateLimitUnavailableError): RateLimitProblem {
  if (error.code === 'ERR_RATE_LIMIT_UNAVAILABLE') {
    return {
      type: `${REGISTRY}#temporary-reduced-capacity`,
      title: 'The service is short of capacity',
      status: 503,
      detail: `The request could not be admitted now; retry in ${UNAVAILABLE_RETRY_AFTER_SECONDS} s`,
      'violated-policies': error.policies,
    };
  }
  const { violated } = error.decision;
  const names = violated.map((name) => `"${name}"`).join(', ');
  return {
    type: `${REGISTRY}#quota-exceeded`,
    title: 'The quota for these requests is used up',
    status: 429,
    detail: `Rate limit ${names} exceeded; retry in ${retryAfterSeconds(error)} s`,
    'violated-policies': violated,
  };
}
