/** Token of the options as they were passed to `RateLimitModule`. */
export const RATE_LIMIT_MODULE_OPTIONS = Symbol.for('rednest:rate-limit:module-options');

/** Token of the checked options with every default filled in; see `ResolvedRateLimitOptions`. */
export const RATE_LIMIT_OPTIONS = Symbol.for('rednest:rate-limit:options');
