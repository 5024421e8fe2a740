import { z } from 'zod';
import { ConfigurationError } from 'rednest';
import type { QueueRole } from 'rednest/queue';

/** What the reference service reads from the environment beside the variables of the library. */
export interface Settings {
  readonly port: number;
  readonly httpAdapter: 'fastify' | 'express';
  readonly queueRole: QueueRole;
  /** Requests per minute and client. */
  readonly rateLimit: number;
  readonly logFormat: 'pretty' | 'json';
}

const unset = (value: unknown) => (value === '' ? undefined : value);
const wholeNumber = (min: number, max: number) =>
  z.preprocess(
    unset,
    z.string().regex(/^\d+$/).transform(Number).pipe(z.number().min(min).max(max)).optional(),
  );
const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.preprocess(unset, z.enum(values).optional());

const SCHEMA = z.object({
  PORT: wholeNumber(0, 65_535),
  HTTP_ADAPTER: oneOf(['fastify', 'express']),
  QUEUE_ROLE: oneOf(['producer', 'worker', 'both']),
  APP_RATE_LIMIT: wholeNumber(1, 1_000_000),
  LOG_FORMAT: oneOf(['pretty', 'json']),
});

const EXPECTED: Record<string, string> = {
  PORT: 'a port number from 0 to 65535',
  HTTP_ADAPTER: 'fastify or express',
  QUEUE_ROLE: 'producer, worker or both',
  APP_RATE_LIMIT: 'a whole number of requests per minute from 1 to 1000000',
  LOG_FORMAT: 'pretty or json',
};

/**
 * Reads and checks the settings of the service.
 *
 * @throws {ConfigurationError} with every fault found
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const parsed = SCHEMA.safeParse(env);
  if (!parsed.success) {
    const names = new Set(parsed.error.issues.map((issue) => String(issue.path[0])));
    throw new ConfigurationError([...names].map((name) => `${name} must be ${EXPECTED[name]}`));
  }
  const { PORT, HTTP_ADAPTER, QUEUE_ROLE, APP_RATE_LIMIT, LOG_FORMAT } = parsed.data;
  return {
    port: PORT ?? 3000,
    httpAdapter: HTTP_ADAPTER ?? 'fastify',
    queueRole: QUEUE_ROLE ?? 'both',
    rateLimit: APP_RATE_LIMIT ?? 300,
    logFormat: LOG_FORMAT ?? (env['NODE_ENV'] === 'production' ? 'json' : 'pretty'),
  };
}
