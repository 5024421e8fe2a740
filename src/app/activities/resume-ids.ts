import { Injectable } from '@nestjs/common';
import { CacheService, InjectCache } from 'rednest/cache';
import type { ActivityKey } from './activity.js';

/** Name of the cache; see the module. */
export const RESUME_CACHE = 'activity-resume';

/** Where to continue. */
export interface ResumeId {
  readonly sessionId: string;
  readonly expiresAt: Date;
}

/**
 * Remembers which conversation with the model an activity continues, for seven days after its last run. A
 * lost entry costs a new conversation and nothing else, which is why a cache is the right place.
 */
@Injectable()
export class ResumeIds {
  constructor(@InjectCache(RESUME_CACHE) private readonly cache: CacheService) {}

  /** Conversation of an activity. */
  async find({ tenantId, activityId }: ActivityKey): Promise<ResumeId | undefined> {
    const entry = await this.cache.getEntry<string>([tenantId, activityId]);
    return entry && { sessionId: entry.value, expiresAt: entry.expiresAt };
  }

  /** Remembers a conversation; the seven days begin anew. */
  async keep({ tenantId, activityId }: ActivityKey, sessionId: string): Promise<void> {
    await this.cache.set([tenantId, activityId], sessionId);
  }
}
