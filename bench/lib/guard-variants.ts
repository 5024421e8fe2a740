/** Rate limits that are compared; the number is that of policies. `none` is the floor. */
export const GUARD_VARIANTS = ['none', 'rednest-1', 'throttler-1', 'rednest-3', 'throttler-3'] as const;

/** One of {@link GUARD_VARIANTS}. */
export type GuardVariant = (typeof GUARD_VARIANTS)[number];
