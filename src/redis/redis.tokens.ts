import { Inject } from '@nestjs/common';
import { DEFAULT_CONNECTION } from '../config/index.js';

export { DEFAULT_CONNECTION };

/**
 * Token of the shared command client: one ioredis instance per application, the same for every
 * injector.
 *
 * @example
 * constructor(@Inject(REDIS) private readonly redis: RedisClient) {}
 */
export const REDIS = Symbol.for('rednest:redis');

/** Token of the resolved configuration; its secrets are masked when printed. */
export const REDIS_CONFIGURATION = Symbol.for('rednest:redis:configuration');

/**
 * Token of the shared command client of a named connection. Without a name, or with `'default'`,
 * it is {@link REDIS}.
 */
export function getRedisToken(name: string = DEFAULT_CONNECTION): symbol {
  return name === DEFAULT_CONNECTION ? REDIS : Symbol.for(`rednest:redis:client:${name}`);
}

/**
 * Injects the shared command client of a connection; shorthand for `@Inject(getRedisToken(name))`.
 *
 * @example
 * constructor(@InjectRedis() redis: RedisClient, @InjectRedis('cache') cache: RedisClient) {}
 */
export function InjectRedis(name?: string): ParameterDecorator & PropertyDecorator {
  return Inject(getRedisToken(name));
}
