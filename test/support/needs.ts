import { describe } from '@jest/globals';
import { nativeBinary } from './servers.js';

/**
 * `describe` for suites that need a redis-server binary. Without one the suite is skipped and the
 * reason printed; where `REDNEST_REQUIRE_NATIVE` is set that is a failure instead.
 */
export function describeNative(name: string, suite: () => void): void {
  if (nativeBinary()) {
    describe(name, suite);
    return;
  }
  if (process.env['REDNEST_REQUIRE_NATIVE']) throw new Error(`"${name}" needs a redis-server binary`);
  process.stderr.write(`skipped: "${name}" needs a redis-server binary on the search path\n`);
  describe.skip(name, suite);
}
