export type { ConcurrencyOptions, ConcurrencyPolicy, ConcurrencySlot } from './concurrency.js';
export type { RateLimitDecision, RateLimitPolicyState, RateLimitSource } from './decision.js';
export { hashedId, type RateLimitId } from './identity.js';
export type {
  RateLimitAcquireOptions,
  RateLimitConsumeOptions,
  RateLimitDemand,
  RateLimitWrapOptions,
} from './limiter-calls.js';
export type {
  Policy,
  PolicyBlock,
  PolicyLimits,
  PolicyLimitsFunction,
  RateLimitAlgorithm,
  RateLimitOnError,
} from './policy.js';
export { Concurrency, RateLimit, RateLimitInfo, SkipRateLimit } from './rate-limit.decorators.js';
export {
  ConcurrencyExceededError,
  ConcurrencySlotLostError,
  RateLimitCostError,
  RateLimitExceededError,
  RateLimitUnavailableError,
} from './rate-limit.errors.js';
export { OutboundLimiter } from './outbound-limiter.js';
export { OutboundLimitError } from './outbound.errors.js';
export { OutboundLimitModule } from './outbound.module.js';
export {
  OUTBOUND_DEFAULTS,
  type OutboundCallOptions,
  type OutboundLimitOptions,
  type OutboundStatus,
} from './outbound.options.js';
export { getOutboundToken, InjectOutbound } from './outbound.tokens.js';
export { RateLimitGuard } from './rate-limit.guard.js';
export { RateLimitStreamGuard } from './rate-limit-stream.guard.js';
export { RateLimitInterceptor } from './rate-limit.interceptor.js';
export { RateLimitModule, type RateLimitModuleExtras } from './rate-limit.module.js';
export {
  RATE_LIMIT_DEFAULTS,
  type DenyCacheSettings,
  type RateLimitModuleOptions,
  type ResolvedDenyCache,
  type ResolvedRateLimitOptions,
} from './rate-limit.options.js';
export { RateLimiter, type RateLimitStatus } from './rate-limiter.service.js';
export type { RateLimitReceipt } from './receipt.js';
export type { RateLimitProblem, RateLimitRefusal } from './problem.js';
export type {
  RateLimitHeaders,
  RateLimitIdentifiers,
  RateLimitIdentify,
  RateLimitRequestOptions,
} from './request-options.js';
export type {
  RateLimitCostFunction,
  RateLimitKey,
  RateLimitKeyFunction,
  RateLimitScope,
  RateLimitStage,
  RouteConcurrency,
  RoutePolicy,
  RoutePolicyReference,
} from './route-policy.js';
export { RedisThrottlerStorage, type ThrottlerRecord } from './throttler-storage.js';
