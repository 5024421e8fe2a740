import { Module } from '@nestjs/common';
import { OutboundLimitModule } from 'rednest/rate-limit';
import { KEYWORD_LIMIT, KeywordProvider, SimulatedKeywordProvider } from './keyword.provider.js';
import { KeywordsController } from './keywords.controller.js';
import { KeywordsService } from './keywords.service.js';

@Module({
  imports: [OutboundLimitModule.forFeature([KEYWORD_LIMIT])],
  controllers: [KeywordsController],
  providers: [KeywordsService, { provide: KeywordProvider, useClass: SimulatedKeywordProvider }],
})
export class KeywordsModule {}
