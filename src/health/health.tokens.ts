/** Token of the options given to `RedisHealthModule`, as written. */
export const REDIS_HEALTH_OPTIONS = Symbol.for('rednest:health:options');

/** Token of the options after checking. @internal */
export const RESOLVED_REDIS_HEALTH_OPTIONS = Symbol.for('rednest:health:resolved-options');
