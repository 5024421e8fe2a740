import { defineQueue, type QueueModuleOptions } from 'rednest/queue';
import { z } from 'zod';

/** Queues that several suites use. */
export const Mail = defineQueue('mail__out', {
  jobs: {
    'send-mail': {
      data: z.object({ to: z.string().min(1), at: z.coerce.date().optional() }),
      result: z.object({ id: z.string() }),
    },
    purge: { data: z.object({ days: z.number() }) },
  },
  attempts: 2,
  backoff: 1,
});

/** A queue of the system itself. */
export const Upkeep = defineQueue('system__upkeep', {
  tenant: false,
  jobs: { tick: { data: z.unknown() } },
});

/** A queue that its tenants share. */
export const Fair = defineQueue('fair__work', {
  fair: { weight: (tenantId) => (tenantId === 'heavy' ? 4 : 1) },
  jobs: { work: { data: z.object({ n: z.number() }) } },
});

/** Module options without the jobs that the library adds by itself. */
export const QUIET: QueueModuleOptions = { sweepInterval: null };

/** A promise and its end. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve = (_value: T): void => undefined;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}
