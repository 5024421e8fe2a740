import type { FoundValue } from './cache-core.js';
import type { EagerRefresh } from './entry.options.js';

/** What is known about a value that decides whether it is loaded anew before it is stale. */
export type Refreshable = Pick<FoundValue, 'stampUs' | 'softUs' | 'staleForUs' | 'loadMs'>;

/**
 * Whether a fresh value is due to be loaded anew: after a share of its time, or by a draw that comes true the
 * sooner the longer its load takes.
 *
 * @see Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015 (XFetch)
 */
export function isRefreshDue(eagerRefresh: EagerRefresh | false, found: Refreshable): boolean {
  if (eagerRefresh === false) return false;
  const leftUs = -found.staleForUs;
  if (typeof eagerRefresh === 'number') {
    // A stamp may be ahead of the clock.
    const wholeUs = Math.max(found.softUs - found.stampUs, leftUs);
    return leftUs <= wholeUs * (1 - eagerRefresh);
  }
  const loadUs = Math.max(found.loadMs, 1) * 1000;
  return -loadUs * eagerRefresh.beta * Math.log(1 - Math.random()) >= leftUs;
}
