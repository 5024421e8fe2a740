import { Injectable } from '@nestjs/common';
import { z } from 'zod';

/** States of a campaign. */
export const CAMPAIGN_STATUSES = ['draft', 'running', 'paused', 'done'] as const;

/** One of {@link CAMPAIGN_STATUSES}. */
export type CampaignStatus = (typeof CAMPAIGN_STATUSES)[number];

/** A campaign as it is stored. */
export interface Campaign {
  readonly id: string;
  readonly name: string;
  readonly status: CampaignStatus;
  readonly budgetCents: number;
  /** Rises with every change. */
  readonly version: number;
}

/** Body of a request to change a campaign. */
export const CampaignChanges = z
  .strictObject({
    name: z.string().min(1).max(200),
    status: z.enum(CAMPAIGN_STATUSES),
    budgetCents: z.int().min(0).max(1_000_000_000),
  })
  .partial()
  .refine((changes) => Object.keys(changes).length > 0, 'nothing to change');

/** {@link CampaignChanges} as a type. */
export type CampaignChanges = z.infer<typeof CampaignChanges>;

/** Where campaigns live; a database in a real service. */
export abstract class CampaignStore {
  /** Reads one campaign. */
  abstract find(id: string): Promise<Campaign | undefined>;
  /** Reads the campaigns in a state, or all. */
  abstract list(status: CampaignStatus | undefined): Promise<Campaign[]>;
  /** Changes a campaign and gives it back; `undefined` when there is none. */
  abstract update(id: string, changes: CampaignChanges): Promise<Campaign | undefined>;
  /** Adds views to campaigns, all or none of them. */
  abstract addViews(views: ReadonlyMap<string, number>): Promise<void>;
  /** Reads the views of a campaign. */
  abstract views(id: string): Promise<number>;
}

/** Time an operation takes, in milliseconds: slow enough that a cache shows. */
const OPERATION_MS = 40;

/** Keeps `c1` to `c100` in memory and answers slowly, like a database under load. */
@Injectable()
export class InMemoryCampaignStore extends CampaignStore {
  private readonly campaigns = new Map<string, Campaign>();
  private readonly viewCounts = new Map<string, number>();
  /** Reads so far; tests look at it. */
  reads = 0;
  /** Batches of views written so far; tests look at it. */
  viewWrites = 0;

  constructor() {
    super();
    for (let number = 1; number <= 100; number += 1) {
      const id = `c${number}`;
      this.campaigns.set(id, {
        id,
        name: `Campaign ${number}`,
        status: number % 4 === 0 ? 'paused' : 'running',
        budgetCents: number * 10_000,
        version: 1,
      });
    }
  }

  override async find(id: string): Promise<Campaign | undefined> {
    this.reads += 1;
    await takeTime();
    return this.campaigns.get(id);
  }

  override async list(status: CampaignStatus | undefined): Promise<Campaign[]> {
    this.reads += 1;
    await takeTime();
    return [...this.campaigns.values()].filter(
      (campaign) => status === undefined || campaign.status === status,
    );
  }

  override async update(id: string, changes: CampaignChanges): Promise<Campaign | undefined> {
    await takeTime();
    const before = this.campaigns.get(id);
    if (!before) return undefined;
    const after = { ...before, ...changes, version: before.version + 1 };
    this.campaigns.set(id, after);
    return after;
  }

  override async addViews(views: ReadonlyMap<string, number>): Promise<void> {
    await takeTime();
    this.viewWrites += 1;
    for (const [id, count] of views) this.viewCounts.set(id, (this.viewCounts.get(id) ?? 0) + count);
  }

  override async views(id: string): Promise<number> {
    await takeTime();
    return this.viewCounts.get(id) ?? 0;
  }
}

const takeTime = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, OPERATION_MS));
