import { RednestError } from '../common/index.js';

/** Thrown by `CacheService.set` when the codec has no representation for a value. Nothing was written. */
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
