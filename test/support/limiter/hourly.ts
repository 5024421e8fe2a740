import type { RoutePolicy } from 'rednest/rate-limit';

/** A policy whose window does not end while a test runs. */
export const hourly = (name: string, limit: number, more: Partial<RoutePolicy> = {}): RoutePolicy => ({
  name,
  limit,
  window: '1h',
  ...more,
});
