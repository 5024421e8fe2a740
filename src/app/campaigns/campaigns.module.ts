import { Module } from '@nestjs/common';
import { CampaignStore, InMemoryCampaignStore } from './campaign.store.js';
import { CampaignsController } from './campaigns.controller.js';
import { CampaignsService } from './campaigns.service.js';

@Module({
  controllers: [CampaignsController],
  providers: [CampaignsService, { provide: CampaignStore, useClass: InMemoryCampaignStore }],
})
export class CampaignsModule {}
