import { RednestError } from '../common/index.js';

/** Thrown by a write when the codec has no representation for a value. Nothing was written. */
export class CacheEncodeError extends RednestError {
  override readonly name = 'CacheEncodeError';
  override readonly code = 'ERR_CACHE_ENCODE';

  constructor(
    /** What the value was, as `typeof` says. */
    readonly valueType: string,
    options?: ErrorOptions,
  ) {
    super(
      `A value of type ${valueType} cannot be cached: the codec refuses it; ` +
        'convert it before, or give CacheModule a codec that can represent it',
      options,
    );
  }
}

/** Thrown by `CacheService.getOrSet` when a loader exceeds its hard limit and there is no stale value. */
export class CacheLoaderTimeoutError extends RednestError {
  override readonly name = 'CacheLoaderTimeoutError';
  override readonly code = 'ERR_CACHE_LOADER_TIMEOUT';

  constructor(
    /** The limit, in milliseconds. */
    readonly timeoutMs: number,
  ) {
    super(`A cache loader took longer than ${timeoutMs} ms; make it faster, or raise loaderTimeout.hard`);
  }
}

/** Thrown by `LoaderContext.fail`: the source has no value to give now. */
export class CacheLoadFailedError extends RednestError {
  override readonly name = 'CacheLoadFailedError';
  override readonly code = 'ERR_CACHE_LOAD_FAILED';

  constructor(
    /** What the loader said. */
    readonly reason: string,
  ) {
    super(`A cache loader gave up: ${reason}`);
  }
}
