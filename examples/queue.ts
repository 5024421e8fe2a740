import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import {
  InjectQueueProducer,
  OnJob,
  QueueModule,
  QueueProcessor,
  QueueService,
  type JobContext,
  type QueueProducer,
} from 'rednest/queue';

interface Mail {
  to: string;
}

/** Adds jobs: from a controller, a cron job, another job. */
@Injectable()
class Invoices {
  constructor(
    @InjectQueueProducer('mail__outgoing') private readonly mail: QueueProducer,
    private readonly queues: QueueService,
  ) {}

  send(to: string): Promise<string> {
    return this.mail.add('send', { to } satisfies Mail, { tenantId: 'acme', delay: 10 });
  }

  /** However often it is called: one job per tenant, type and key in 24 h. */
  remind(to: string, invoice: string): Promise<{ jobId: string; deduplicated: boolean }> {
    const identity = { tenantId: 'acme', type: 'invoice-due', dedupeKey: invoice };
    return this.queues.notifyOnce('mail__outgoing', 'send', { to } satisfies Mail, identity);
  }
}

/** Runs jobs, on a connection of its own. */
@QueueProcessor('mail__outgoing', { concurrency: 5 })
class MailProcessor {
  @OnJob('send')
  async send(mail: Mail, { tenantId }: JobContext): Promise<{ accepted: string }> {
    return { accepted: `${mail.to} for ${tenantId}` };
  }
}

@Module({
  imports: [
    RedisModule.forRoot({ app: 'billing', embedded: EmbeddedRedis }),
    QueueModule.forRoot(),
    QueueModule.forFeature(['mail__outgoing']),
  ],
  providers: [Invoices, MailProcessor],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const invoices = app.get(Invoices);
const jobId = await invoices.send('ada@example.com');
const [first, second] = [await invoices.remind('ada@example.com', 'i7'), await invoices.remind('x', 'i7')];

let job = await app.get(QueueService).find(jobId, 'acme');
while (job?.finishedAtMs === undefined) {
  await new Promise((resolve) => setTimeout(resolve, 20));
  job = await app.get(QueueService).find(jobId, 'acme');
}
console.log(`${job.name} ${job.state}: ${JSON.stringify(job.result)}`);
console.log(`reminded twice: deduplicated ${first.deduplicated}, then ${second.deduplicated}`);
console.log('seen by another tenant:', await app.get(QueueService).find(jobId, 'evil'));
await app.close();
