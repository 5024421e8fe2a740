import { Injectable } from '@nestjs/common';
import { Cacheable, CacheService, Caching, type WriteBehind } from 'rednest/cache';
import { CampaignStore, type Campaign, type CampaignChanges, type CampaignStatus } from './campaign.store.js';

/** Tag of everything that shows several campaigns. */
export const CAMPAIGN_LISTS = 'campaign-lists';

/** Campaigns, with the cache between them and the store. */
@Injectable()
export class CampaignsService {
  private readonly viewBuffer: WriteBehind<number>;

  constructor(
    cache: CacheService,
    private readonly store: CampaignStore,
  ) {
    this.viewBuffer = cache.writeBehind<number>({
      name: 'campaign views',
      merge: (earlier, later) => earlier + later,
      flush: (items) => store.addViews(new Map(items.map(({ key, value }) => [String(key), value]))),
    });
  }

  /** Cache-aside: an id that does not exist is remembered for a short time only. */
  @Cacheable({
    key: (id: string) => ['campaign', id],
    tags: ['campaigns', 'campaign:{0}'],
    ttl: 'medium',
    notFoundTtl: 'short',
  })
  async find(id: string): Promise<Campaign | null> {
    return (await this.store.find(id)) ?? null;
  }

  /** Not cached here: the route caches its responses, tagged {@link CAMPAIGN_LISTS}. */
  list(status: CampaignStatus | undefined): Promise<Campaign[]> {
    return this.store.list(status);
  }

  /** Write-through: the store first, then the entry that {@link find} reads; lists are forgotten. */
  @Caching({
    put: { key: (id: string) => ['campaign', id], tags: ['campaigns', 'campaign:{0}'], ttl: 'medium' },
    evict: { tags: [CAMPAIGN_LISTS] },
  })
  async update(id: string, changes: CampaignChanges): Promise<Campaign | undefined> {
    return this.store.update(id, changes);
  }

  /** Write-behind: views are added up in memory and reach the store together, about once a second. */
  countView(id: string): void {
    this.viewBuffer.put(id, 1);
  }

  /** Views the store knows of, and those on their way from this process. */
  async views(id: string): Promise<{ stored: number; pending: number }> {
    return { stored: await this.store.views(id), pending: this.viewBuffer.stats().pending };
  }
}
