// Adding a job; the queue is emptied after each measurement.
import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import { QUEUE } from './lib/application.js';
import type { Bench } from './lib/bench.js';

const DATA = { to: 'ada@example.org', template: 'welcome', locale: 'en', ids: [1, 2, 3] };

export const queueBench: Bench = {
  capability: 'queue',
  sequential: 1000,
  concurrent: 4000,
  async open({ meter, queues, floor }) {
    const producer = queues.producer(QUEUE);
    const { prefix, defaultJobOptions } = producer.raw.opts;
    const plain = new Queue('bench__base', {
      connection: floor('producer'),
      // As long as the name above: the lengths of keys count in bytes.
      prefix,
      skipWaitingForReady: true,
      skipVersionCheck: true,
      skipMetasUpdate: true,
      defaultJobOptions,
    });
    plain.on('error', () => undefined);
    return {
      operation: 'add of one job',
      variants: [
        { name: 'bullmq add', run: () => plain.add('welcome', DATA) },
        {
          name: 'bullmq add, own id and envelope',
          run: () =>
            plain.add(
              'welcome',
              { rednest: 1, tenantId: null, data: DATA },
              { jobId: `${QUEUE}.${randomUUID()}` },
            ),
        },
        { name: 'QueueProducer.add', run: () => producer.add('welcome', DATA) },
      ],
      cleanUp: () => meter.clear(),
      close: () => plain.close(),
    };
  },
};
