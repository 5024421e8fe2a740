import { Controller, Get, Param, Query } from '@nestjs/common';
import { z } from 'zod';
import { TenantId } from '../notifications/notification.js';
import { SchemaPipe } from '../validation.js';
import type { Keyword } from './keyword.provider.js';
import { KeywordsService } from './keywords.service.js';

const SearchText = z.string().trim().min(1).max(100);

@Controller('tenants/:tenantId/keywords')
export class KeywordsController {
  constructor(private readonly keywords: KeywordsService) {}

  @Get()
  async search(
    @Param('tenantId', new SchemaPipe(TenantId)) tenantId: string,
    @Query('q', new SchemaPipe(SearchText)) query: string,
  ): Promise<{ keywords: readonly Keyword[] }> {
    return { keywords: await this.keywords.search(tenantId, query) };
  }
}
