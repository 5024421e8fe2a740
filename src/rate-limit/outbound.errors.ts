import { RednestError } from '../common/index.js';

/**
 * Thrown by `OutboundLimiter` when a call would exceed a provider's limit and may not wait long enough, or when
 * the provider has refused it. In the first case the call was not made.
 */
export class OutboundLimitError extends RednestError {
  override readonly name = 'OutboundLimitError';
  override readonly code = 'ERR_OUTBOUND_LIMIT';

  constructor(
    /** Name of the provider. */
    readonly provider: string,
    /** Milliseconds after which the call may be made. */
    readonly retryAfterMs: number,
    /** `limit`: the limit is used up; `provider`: the provider refused this call or one before. */
    readonly reason: 'limit' | 'provider',
    options?: ErrorOptions,
  ) {
    const what = reason === 'limit' ? 'takes no more calls' : 'has refused calls';
    super(`"${provider}" ${what} for now; retry in ${retryAfterMs} ms`, options);
  }
}
