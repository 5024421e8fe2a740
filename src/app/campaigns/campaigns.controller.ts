import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import type { Campaign } from './campaign.store.js';
import { CampaignsService } from './campaigns.service.js';

@Controller('campaigns')
export class CampaignsController {
  constructor(private readonly campaigns: CampaignsService) {}

  @Get(':id')
  async find(@Param('id') id: string): Promise<Campaign> {
    const campaign = await this.campaigns.find(id);
    if (!campaign) throw new NotFoundException('There is no such campaign');
    return campaign;
  }
}
