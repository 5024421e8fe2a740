import type {
  ConcurrencyExceededError,
  RateLimitCostError,
  RateLimitExceededError,
  RateLimitUnavailableError,
} from './rate-limit.errors.js';
import { retryAfterSeconds } from './rate-limit.headers.js';

/** Why a request was refused. */
export type RateLimitRefusal =
  ConcurrencyExceededError | RateLimitCostError | RateLimitExceededError | RateLimitUnavailableError;

/** Body of a refusal: a problem document. @see https://www.rfc-editor.org/rfc/rfc9457 */
export interface RateLimitProblem {
  /** Kind of problem, from the IANA registry of HTTP problem types where there is one. */
  readonly type: string;
  /** Short text, the same for every problem of one type. */
  readonly title: string;
  /** 429 for a refusal, 503 when no decision could be made, 413 when no wait would help. */
  readonly status: 413 | 429 | 503;
  /** What happened to this request and when to come back. */
  readonly detail: string;
  /** Names of the policies without room, or, with status 503, that could not be evaluated. */
  readonly 'violated-policies': readonly string[];
}

/** Media type of {@link RateLimitProblem}. */
export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** How long a client is told to wait when no decision could be made. */
const UNAVAILABLE_RETRY_MS = 5000;

/** Requests in progress end at any time, so whoever found no slot may ask again soon. */
const CONCURRENCY_RETRY_MS = 1000;

const REGISTRY = 'https://iana.org/assignments/http-problem-types';

/** Milliseconds after which a refused request may come again; 0 = never in this form. */
export function retryMsOf(error: RateLimitRefusal): number {
  switch (error.code) {
    case 'ERR_RATE_LIMIT_UNAVAILABLE':
      return UNAVAILABLE_RETRY_MS;
    case 'ERR_CONCURRENCY_EXCEEDED':
      return CONCURRENCY_RETRY_MS;
    case 'ERR_RATE_LIMIT_EXCEEDED':
      return error.retryAfterMs;
    case 'ERR_RATE_LIMIT_COST':
      return 0;
  }
}

/**
 * The problem document for a refusal: `quota-exceeded` (429), or `temporary-reduced-capacity` (503).
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */
export function toProblem(error: RateLimitRefusal): RateLimitProblem {
  const seconds = retryAfterSeconds({ retryAfterMs: retryMsOf(error) });
  switch (error.code) {
    case 'ERR_RATE_LIMIT_UNAVAILABLE':
      return {
        type: `${REGISTRY}#temporary-reduced-capacity`,
        title: 'The service is short of capacity',
        status: 503,
        detail: `The request could not be admitted now; retry in ${seconds} s`,
        'violated-policies': error.policies,
      };
    case 'ERR_CONCURRENCY_EXCEEDED':
      return quotaExceeded([error.policy], `Too many requests are in progress; retry in ${seconds} s`);
    case 'ERR_RATE_LIMIT_EXCEEDED': {
      const { violated } = error.decision;
      const names = violated.map((name) => `"${name}"`).join(', ');
      return quotaExceeded(violated, `Rate limit ${names} exceeded; retry in ${seconds} s`);
    }
    case 'ERR_RATE_LIMIT_COST':
      return {
        type: 'about:blank',
        title: 'Content Too Large',
        status: 413,
        detail: `The request is worth more than rate limit "${error.policy}" lets through; divide it`,
        'violated-policies': [error.policy],
      };
  }
}

function quotaExceeded(violated: readonly string[], detail: string): RateLimitProblem {
  return {
    type: `${REGISTRY}#quota-exceeded`,
    title: 'The quota for these requests is used up',
    status: 429,
    detail,
    'violated-policies': violated,
  };
}
