import {
  Body,
  Controller,
  Get,
  NotFoundException,
  Param,
  Patch,
  Query,
  UseInterceptors,
} from '@nestjs/common';
import { HttpCache, HttpCacheInterceptor } from 'rednest/cache';
import { z } from 'zod';
import { Identifier, SchemaPipe } from '../validation.js';
import { CAMPAIGN_STATUSES, CampaignChanges, type Campaign, type CampaignStatus } from './campaign.store.js';
import { CAMPAIGN_LISTS, CampaignsService } from './campaigns.service.js';

const Status = z.enum(CAMPAIGN_STATUSES).optional();

@Controller('campaigns')
export class CampaignsController {
  constructor(private readonly campaigns: CampaignsService) {}

  @Get()
  @UseInterceptors(HttpCacheInterceptor)
  @HttpCache({ ttl: 'short', maxAge: 0, tags: [CAMPAIGN_LISTS] })
  list(@Query('status', new SchemaPipe(Status)) status: CampaignStatus | undefined): Promise<Campaign[]> {
    return this.campaigns.list(status);
  }

  @Get(':id')
  async find(@Param('id', new SchemaPipe(Identifier)) id: string): Promise<Campaign> {
    const campaign = existing(await this.campaigns.find(id));
    this.campaigns.countView(id);
    return campaign;
  }

  @Patch(':id')
  async update(
    @Param('id', new SchemaPipe(Identifier)) id: string,
    @Body(new SchemaPipe(CampaignChanges)) changes: CampaignChanges,
  ): Promise<Campaign> {
    return existing(await this.campaigns.update(id, changes));
  }

  @Get(':id/views')
  async views(
    @Param('id', new SchemaPipe(Identifier)) id: string,
  ): Promise<{ stored: number; pending: number }> {
    existing(await this.campaigns.find(id));
    return this.campaigns.views(id);
  }
}

function existing(campaign: Campaign | null | undefined): Campaign {
  if (!campaign) throw new NotFoundException('There is no such campaign');
  return campaign;
}
