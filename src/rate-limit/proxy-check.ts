import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { objectOf } from './context-values.js';

/**
 * Warns at the start when the HTTP adapter believes every proxy: each client could then choose the address it is
 * limited by.
 *
 * @internal
 */
@Injectable()
export class ProxyCheck implements OnApplicationBootstrap {
  private readonly logger = new Logger('RateLimitGuard');

  constructor(@Inject(HttpAdapterHost) private readonly adapterHost: HttpAdapterHost) {}

  onApplicationBootstrap(): void {
    const setting = trustsEverybody(this.adapterHost.httpAdapter?.getInstance());
    if (!setting) return;
    this.logger.warn(
      `${setting} is true: clients choose their own address by a header, and with it their rate limits; ` +
        'give the number of proxies in front of this process, or their addresses',
    );
  }
}

/** Name of the setting that believes every proxy; `undefined` when there is none. */
function trustsEverybody(instance: unknown): string | undefined {
  if (typeof instance === 'function') {
    const { get } = instance as { get?: unknown };
    return typeof get === 'function' && get.call(instance, 'trust proxy') === true
      ? '"trust proxy"'
      : undefined;
  }
  const fastify = objectOf(instance);
  if (!fastify) return undefined;
  const symbol = Object.getOwnPropertySymbols(fastify).find(
    ({ description }) => description === 'fastify.options',
  );
  const options = symbol && objectOf((fastify as Record<symbol, unknown>)[symbol]);
  return options?.['trustProxy'] === true ? '"trustProxy"' : undefined;
}
