import 'reflect-metadata';

/** @internal Metadata key of `RateLimit`: a list of policies and names. */
export const RATE_LIMIT_METADATA = Symbol.for('rednest:rate-limit:policies');

/** @internal Metadata key of `SkipRateLimit`: names, or `'all'`. */
export const SKIP_RATE_LIMIT_METADATA = Symbol.for('rednest:rate-limit:skip');

/** @internal Metadata key of `Concurrency`: a list of policies. */
export const CONCURRENCY_METADATA = Symbol.for('rednest:rate-limit:concurrency');

/** Where Nest keeps that a handler is one of `Sse`. */
const SSE_METADATA = '__sse__';

const ALL = [RATE_LIMIT_METADATA, SKIP_RATE_LIMIT_METADATA, CONCURRENCY_METADATA];

/** What `SkipRateLimit` recorded. */
export type SkippedPolicies = 'all' | readonly string[];

/** Whether a class or handler carries any of the decorators. */
export function isDecorated(target: object): boolean {
  return ALL.some((key) => Reflect.hasMetadata(key, target));
}

/** Whether a handler answers with a stream of events. */
export function isStream(handler: object): boolean {
  return Reflect.hasMetadata(SSE_METADATA, handler);
}

/** Where a decorator keeps its metadata: on the class, or on the method's function. */
export function metadataHost(target: object, descriptor?: PropertyDescriptor): object {
  return descriptor ? (descriptor.value as object) : target;
}

/** Puts items in front of those already recorded: decorators run from the bottom up, and are read downwards. */
export function record(key: symbol, items: readonly unknown[], host: object): void {
  const before = (Reflect.getOwnMetadata(key, host) as readonly unknown[] | undefined) ?? [];
  Reflect.defineMetadata(key, [...items, ...before], host);
}
