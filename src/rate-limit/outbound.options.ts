import { ConfigurationError, resolveDuration, type Duration } from '../common/index.js';
import { PolicySet } from './policy-set.js';
import type { Policy, RateLimitOnError } from './policy.js';
import { resolvePolicy } from './resolved-policy.js';

/** A limit that somebody else sets: how many calls they take. */
export interface OutboundLimitOptions {
  /** Name of the provider, for injection, keys and errors. Letters, digits and `. _ -`, 1 to 64 characters. */
  name: string;
  /** Most calls per {@link window}. Whole number, 1 to 1,000,000,000. */
  limit: number;
  /** Length of the window. Number = milliseconds, or `'1m'`. 1 ms to 1 day. */
  window: Duration;
  /**
   * Spreads the calls evenly, instead of as many at once as fit. Then a call that waits reserves its turn in one
   * round trip, in the order of arrival over all processes. @default false
   */
  pace?: boolean;
  /**
   * Share of the window it is made longer by: calls reach the provider later than they leave, and not all equally
   * late. 0 to 1. @default 0.05
   */
  margin?: number;
  /** How long a call waits for its turn. Number = milliseconds, or `'30s'`; 0 = fails at once. @default 0 */
  maxWait?: Duration;
  /** How long calls pause when the provider refuses one and does not say until when. @default the window */
  pause?: Duration;
  /**
   * What happens while Redis does not answer: `local` keeps to this process's share of the limit, `open` calls
   * uncounted, `closed` fails with `RateLimitUnavailableError`. @default the module's `onError`
   */
  onError?: RateLimitOnError;
}

/** Per-call settings of `OutboundLimiter`. */
export interface OutboundCallOptions {
  /** How long this call waits for its turn. @default the limiter's `maxWait` */
  maxWait?: Duration;
  /**
   * Ends the wait early; a turn that was reserved is given back if it is the last one. It is handed to the task as
   * well.
   */
  signal?: AbortSignal;
}

/** What a call would find now; see `OutboundLimiter.peek`. */
export interface OutboundStatus {
  /** Calls that may leave at once. */
  readonly remaining: number;
  /** Milliseconds until a call may leave; 0 = now. */
  readonly retryAfterMs: number;
  /** Milliseconds until nothing is counted or reserved any more. */
  readonly resetMs: number;
  /** Whether calls pause because the provider has refused one. */
  readonly isPaused: boolean;
}

/** Checked {@link OutboundLimitOptions}. */
export interface ResolvedOutboundLimit {
  readonly name: string;
  readonly isPaced: boolean;
  readonly maxWaitMs: number;
  readonly pauseMs: number;
  /** The policy, with a counter of its own. Built later, because it may take the module's `onError`. */
  toSet(onError: RateLimitOnError): PolicySet;
}

/** Values used for options that are left out. */
export const OUTBOUND_DEFAULTS = Object.freeze({
  pace: false,
  margin: 0.05,
  maxWait: 0,
} as const satisfies Partial<OutboundLimitOptions>);

const DAY_MS = 86_400_000;

/** Up to here every call is remembered; beyond, calls are counted by sub-window. */
const MAX_LOG_LIMIT = 1000;

/** @throws {ConfigurationError} naming the limiter and the option that cannot be used */
export function resolveOutboundLimit(options: OutboundLimitOptions): ResolvedOutboundLimit {
  const { name, margin = OUTBOUND_DEFAULTS.margin, pace = OUTBOUND_DEFAULTS.pace } = options;
  const { window, maxWait = OUTBOUND_DEFAULTS.maxWait, pause = window } = options;
  if (!(margin >= 0 && margin <= 1)) {
    throw new ConfigurationError(`Outbound limit "${name}" has margin ${String(margin)}; give 0 to 1`);
  }
  const windowMs = resolveDuration(window, `${name}.window`, { maxMs: DAY_MS });
  const maxWaitMs = resolveMaxWait(maxWait);
  const stretchedMs = Math.ceil(windowMs * (1 + margin));
  // A turn can be reserved one window ahead. Paced, the same rate over a longer window reaches as far as calls wait.
  const windows = pace ? Math.max(1, Math.ceil(maxWaitMs / stretchedMs)) : 1;
  const policy: Policy = {
    name,
    limit: options.limit * windows,
    window: stretchedMs * windows,
    // Set by hand when the provider refuses.
    block: { for: 'manual' },
    ...(options.onError === undefined ? {} : { onError: options.onError }),
    ...(pace
      ? { algorithm: 'gcra', burst: 1 }
      : { algorithm: options.limit <= MAX_LOG_LIMIT ? 'sliding-log' : 'sliding' }),
  };
  const toSet = (onError: RateLimitOnError): PolicySet =>
    new PolicySet([resolvePolicy(policy, onError, `outbound/${name}`)]);
  // Throws for what a policy does not accept.
  toSet('local');
  return Object.freeze({
    name,
    isPaced: pace,
    maxWaitMs,
    pauseMs: resolveDuration(pause, `${name}.pause`, { maxMs: DAY_MS }),
    toSet,
  });
}

/** @throws {ConfigurationError} when it is no duration of at most a day */
export function resolveMaxWait(maxWait: Duration): number {
  return resolveDuration(maxWait, 'maxWait', { minMs: 0, maxMs: DAY_MS });
}

/** @throws {ConfigurationError} when it is no number of milliseconds up to a day */
export function resolvePause(waitMs: number): number {
  return resolveDuration(Math.ceil(waitMs), 'waitMs', { minMs: 0, maxMs: DAY_MS });
}
