import { Injectable } from '@nestjs/common';

/** A campaign as it is stored. */
export interface Campaign {
  readonly id: string;
  readonly name: string;
  readonly status: 'draft' | 'running' | 'paused' | 'done';
  readonly budgetCents: number;
  /** Rises with every change. */
  readonly version: number;
}

/** Where campaigns live; a database in a real service. */
export abstract class CampaignStore {
  /** Reads one campaign. */
  abstract find(id: string): Promise<Campaign | undefined>;
}

/** Time a read takes, in milliseconds: slow enough that a cache shows. */
const READ_MS = 40;

/** Keeps `c1` to `c100` in memory and answers slowly, like a database under load. */
@Injectable()
export class InMemoryCampaignStore extends CampaignStore {
  private readonly campaigns = new Map<string, Campaign>();
  /** Reads so far; tests look at it. */
  reads = 0;

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
    await new Promise((resolve) => setTimeout(resolve, READ_MS));
    return this.campaigns.get(id);
  }
}
