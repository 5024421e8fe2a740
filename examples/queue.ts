import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import {
  completed,
  defineQueue,
  drain,
  InjectQueueProducer,
  OnJob,
  QueueModule,
  QueueProcessor,
  QueueService,
  type JobContext,
  type OnceResult,
  type QueueProducer,
} from 'rednest/queue';
import { z } from 'zod';

/** What both sides agree on. Any library with Standard Schema will do: zod, valibot, arktype. */
const Mail = defineQueue('mail__outgoing', {
  jobs: {
    send: { data: z.object({ to: z.email() }), result: z.object({ accepted: z.string() }) },
  },
  fair: true,
});

/** Adds jobs: from a controller, a cron job, another job. */
@Injectable()
class Invoices {
  constructor(
    @InjectQueueProducer(Mail) private readonly mail: QueueProducer<typeof Mail>,
    private readonly queues: QueueService,
  ) {}

  send(to: string): Promise<string> {
    return this.mail.add('send', { to }, { tenantId: 'acme', attempts: 5 });
  }

  /** However often it is called: one job per tenant, name and key in 24 h; again if it fails for good. */
  confirm(to: string, invoice: string): Promise<OnceResult> {
    return this.mail.once('send', { to }, { tenantId: 'acme', key: invoice, onFinalFailure: 'release' });
  }

  /** The same over several queues: one notification per tenant, type and key, whatever the channel. */
  remind(to: string, invoice: string): Promise<OnceResult> {
    const identity = { tenantId: 'acme', type: 'invoice-due', dedupeKey: invoice };
    return this.queues.notifyOnce(Mail, 'send', { to }, identity);
  }
}

/** Runs jobs, on connections of its own. A job without a method here does not compile. */
@QueueProcessor(Mail, { concurrency: 5 })
class MailProcessor {
  @OnJob('send')
  async send({ to }: { to: string }, { tenantId }: JobContext): Promise<{ accepted: string }> {
    return { accepted: `${to} for ${tenantId}` };
  }
}

@Module({
  imports: [
    RedisModule.forRoot({ app: 'billing', embedded: EmbeddedRedis }),
    QueueModule.forRoot(),
    QueueModule.forFeature([Mail]),
  ],
  providers: [Invoices, MailProcessor],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const invoices = app.get(Invoices);
const queues = app.get(QueueService);
const jobId = await invoices.send('ada@example.com');
const [first, second] = [
  await invoices.remind('ada@example.com', 'i7'),
  await invoices.remind('b@example.com', 'i7'),
];

let job = await queues.find(jobId, 'acme');
while (job?.finishedAtMs === undefined) {
  await new Promise((resolve) => setTimeout(resolve, 20));
  job = await queues.find(jobId, 'acme');
}
console.log(`${job.name} ${job.state}: ${JSON.stringify(job.result)}`);
console.log(`reminded twice: deduplicated ${first.deduplicated}, then ${second.deduplicated}`);
console.log('seen by another tenant:', await queues.find(jobId, 'evil'));
await drain(queues, Mail);
console.log('completed:', (await completed(queues, Mail, 'send')).length);
console.log('added:', queues.stats()[0]?.counts.added);
await app.close();
