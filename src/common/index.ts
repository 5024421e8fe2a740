export { backoffDelayMs, type BackoffOptions } from './backoff.js';
export { systemClock, type Clock } from './clock.js';
export { jsonCodec, type Codec } from './codec.js';
export {
  DIAGNOSTICS,
  DiagnosticsPublisher,
  type CacheDiagnostic,
  type CallFailureDiagnostic,
  type CircuitDiagnostic,
  type ConnectionDiagnostic,
  type QueueDiagnostic,
  type RateLimitDiagnostic,
  type ShutdownDiagnostic,
} from './diagnostics.js';
export { describeValue } from './describe-value.js';
export { resolveDuration, type Duration, type DurationBounds, type DurationUnit } from './duration.js';
export { ConfigurationError, RednestError, isRednestError, type Outcome } from './errors.js';
export { assertKeyPrefix, buildKey, escapeKeyPart } from './keys.js';
export { listOf } from './list-of.js';
export { redact, redactText } from './redact.js';
export { SingleFlight } from './single-flight.js';
export { resolveWholeNumber, type WholeNumberBounds } from './whole-number.js';
