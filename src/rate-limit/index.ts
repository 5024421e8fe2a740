export type { RateLimitDecision, RateLimitPolicyState } from './decision.js';
export type { RateLimitId } from './identity.js';
export type { Policy, RateLimitAlgorithm, RateLimitOnError } from './policy.js';
export { RateLimit, SkipRateLimit } from './rate-limit.decorators.js';
export { RateLimitExceededError, RateLimitUnavailableError } from './rate-limit.errors.js';
export { RateLimitGuard } from './rate-limit.guard.js';
export { RateLimitModule, type RateLimitModuleExtras } from './rate-limit.module.js';
export {
  RATE_LIMIT_DEFAULTS,
  type RateLimitModuleOptions,
  type ResolvedRateLimitOptions,
} from './rate-limit.options.js';
export { RateLimiter, type RateLimitConsumeOptions } from './rate-limiter.service.js';
export type { RateLimitProblem } from './problem.js';
export type {
  RateLimitKeyFunction,
  RateLimitScope,
  RoutePolicy,
  RoutePolicyReference,
} from './route-policy.js';
