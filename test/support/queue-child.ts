import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineQueue } from 'rednest/queue';
import { z } from 'zod';
import { TestProcess } from './test-process.js';

const SCRIPT = join(dirname(fileURLToPath(import.meta.url)), 'queue-child-process.mjs');

/** The queue that worker processes of the tests work for. */
export const Work = defineQueue('proc__work', {
  tenant: false,
  jobs: { work: { data: z.object({ kind: z.string(), ms: z.number().optional() }) } },
  attempts: 5,
  backoff: 1,
});

/** The queue their jobs may add to. */
export const Next = defineQueue('proc__next', { tenant: false, jobs: { next: { data: z.unknown() } } });

/** A worker as a process of its own. */
export class WorkerProcess extends TestProcess {
  constructor(env: Record<string, string>) {
    super(SCRIPT, env);
  }
}
