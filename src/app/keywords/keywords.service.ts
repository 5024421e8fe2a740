import { BadGatewayException, Injectable } from '@nestjs/common';
import { CacheService } from 'rednest/cache';
import { InjectOutbound, type OutboundLimiter } from 'rednest/rate-limit';
import { KEYWORD_LIMIT, KeywordProvider, type Keyword } from './keyword.provider.js';

/** Keyword research: cached per tenant, and within the provider's limit. */
@Injectable()
export class KeywordsService {
  constructor(
    private readonly cache: CacheService,
    private readonly provider: KeywordProvider,
    @InjectOutbound(KEYWORD_LIMIT.name) private readonly limiter: OutboundLimiter,
  ) {}

  /** Only what is not cached costs the tenant a call. */
  search(tenantId: string, query: string): Promise<readonly Keyword[]> {
    return this.cache.getOrSet(['tenant', tenantId, 'keywords', query], () => this.ask(tenantId, query), {
      ttl: 'medium',
    });
  }

  /**
   * @throws {OutboundLimitError} at once when the tenant's calls of this minute are used up
   * @throws {BadGatewayException} when the provider answers with an error
   */
  private async ask(tenantId: string, query: string): Promise<readonly Keyword[]> {
    const response = await this.limiter.run(['tenant', tenantId], () =>
      this.provider.search(tenantId, query),
    );
    // An answer like any other to the cache, which would keep it.
    if (!response.ok) throw new BadGatewayException('The provider of keywords has failed');
    return (await response.json()) as readonly Keyword[];
  }
}
