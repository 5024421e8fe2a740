import { Injectable } from '@nestjs/common';
import { defineQueue, InjectQueueProducer, OnJob, QueueProcessor, type QueueProducer } from 'rednest/queue';
import { z } from 'zod';

/** Documents to be made searchable. */
export const Ingestion = defineQueue('rag__ingestion', {
  jobs: {
    ingest: {
      data: z.strictObject({ documentId: z.string().min(1).max(100), text: z.string().max(100_000) }),
      result: z.object({ chunks: z.number().int() }),
    },
  },
  fair: true,
});

/** Characters of one chunk. */
const CHUNK = 1000;

/** Takes documents; the same version of one is taken once. */
@Injectable()
export class IngestionService {
  constructor(@InjectQueueProducer(Ingestion) private readonly queue: QueueProducer<typeof Ingestion>) {}

  /** Adds a document unless this version of it was added within the day; a failed one may come again. */
  async ingest(tenantId: string, documentId: string, version: number, text: string): Promise<string> {
    const { jobId } = await this.queue.once(
      'ingest',
      { documentId, text },
      { tenantId, key: `${documentId}@${version}`, onFinalFailure: 'release' },
    );
    return jobId;
  }
}

/** Cuts documents into chunks; a stand-in for an embedding model. */
@QueueProcessor(Ingestion, { concurrency: 2 })
export class IngestionProcessor {
  @OnJob('ingest')
  ingest({ text }: { text: string }): { chunks: number } {
    return { chunks: Math.ceil(text.length / CHUNK) };
  }
}
