import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import {
  InjectOutbound,
  OutboundLimiter,
  OutboundLimitError,
  OutboundLimitModule,
  RateLimitModule,
} from 'rednest/rate-limit';

/** Stands for somebody else's API. */
const api = { search: async (text: string): Promise<Response> => Response.json([`${text} price`]) };

// #region service
@Injectable()
class Keywords {
  constructor(
    @InjectOutbound('keywords') private readonly keywords: OutboundLimiter,
    @InjectOutbound('geocoder') private readonly geocoder: OutboundLimiter,
  ) {}

  /** Fails at once when the tenant has used up its ten calls of this minute. */
  async search(tenantId: string, text: string): Promise<unknown> {
    const response = await this.keywords.run(['tenant', tenantId], () => api.search(text));
    return response.json();
  }

  /** Waits for its turn, five a second over all processes and tenants. */
  async locate(address: string, signal?: AbortSignal): Promise<string> {
    const task = async (): Promise<string> => `${address}: 52.52, 13.40`;
    return this.geocoder.run('everybody', task, { signal });
  }
}
// #endregion

// #region module
@Module({
  imports: [
    RedisModule.forRoot({ app: 'keywords', embedded: EmbeddedRedis }),
    RateLimitModule.forRoot(),
    OutboundLimitModule.forFeature([
      { name: 'keywords', limit: 10, window: '1m' },
      { name: 'geocoder', limit: 5, window: '1s', pace: true, maxWait: '30s' },
    ]),
  ],
  providers: [Keywords],
})
class AppModule {}
// #endregion

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const keywords = app.get(Keywords);

for (let call = 1; call <= 10; call += 1) await keywords.search('acme', `shoe ${call}`);
try {
  await keywords.search('acme', 'shoe 11');
} catch (error) {
  if (!(error instanceof OutboundLimitError)) throw error;
  console.log(`11th call: ${error.code}, again within a minute: ${error.retryAfterMs <= 63_000}`);
}

const startedMs = performance.now();
await Promise.all(['a', 'b', 'c', 'd'].map((address) => keywords.locate(address)));
console.log(`four paced calls took at least 0.6 s: ${performance.now() - startedMs >= 600}`);

await app.close();
