import { Injectable } from '@nestjs/common';
import { CacheService } from 'rednest/cache';
import { CampaignStore, type Campaign } from './campaign.store.js';

/** Campaigns, read through the cache. */
@Injectable()
export class CampaignsService {
  constructor(
    private readonly cache: CacheService,
    private readonly store: CampaignStore,
  ) {}

  /** Cache-aside: an id that does not exist is remembered for a short time only. */
  find(id: string): Promise<Campaign | undefined> {
    return this.cache.getOrSet(['campaign', id], () => this.store.find(id), { ttl: 'medium' });
  }
}
