import type { ResolvedEntryOptions } from './entry.options.js';
import type { Lifetime } from './remote-tier.js';

/** How long a value is kept, drawn anew for each write so that values written together end apart. */
export function lifetimeOf(options: ResolvedEntryOptions, value: unknown, ttlMs?: number): Lifetime {
  const { jitter, graceMs, revalidateMs, notFoundTtlMs } = options;
  const wholeMs = ttlMs ?? (value === null ? (notFoundTtlMs ?? options.ttlMs) : options.ttlMs);
  const drawnMs = jitter === 0 ? wholeMs : wholeMs * (1 - Math.random() * jitter);
  return { ttlMs: Math.max(1, Math.round(drawnMs)), keepMs: Math.max(graceMs, revalidateMs) };
}
