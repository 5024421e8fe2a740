/** Token of the options given to `CacheModule`, as written. */
export const CACHE_OPTIONS = Symbol.for('rednest:cache:options');
