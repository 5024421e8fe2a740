import { Module } from '@nestjs/common';
import { QueueModule } from 'rednest/queue';
import { Ingestion, IngestionProcessor, IngestionService } from './ingestion.js';

/** Documents that agents look things up in. */
@Module({
  imports: [QueueModule.forFeature([Ingestion])],
  providers: [IngestionService, IngestionProcessor],
  exports: [IngestionService],
})
export class RagModule {}
