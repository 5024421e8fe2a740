import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { Redis } from 'ioredis';
import {
  defineQueue,
  OnJob,
  QueueEventsService,
  QueueModule,
  QueueProcessor,
  QueueService,
  type QueueContract,
} from 'rednest/queue';
import { z } from 'zod';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';

const ROLES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k'] as const;
const CHANNELS = ['email', 'sms', 'whatsapp', 'telegram', 'web'] as const;
const work = { tenant: false, jobs: { run: { data: z.number() } } };
const QUEUES: readonly QueueContract[] = [
  ...ROLES.map((role) => defineQueue(`agent__${role}`, work)),
  defineQueue('rag__ingestion', work),
  ...CHANNELS.map((channel) => defineQueue(`notifications__${channel}`, work)),
];

let done = 0;
@QueueProcessor(QUEUES, { concurrency: 10 })
class Worker {
  @OnJob('run') run(): void {
    done += 1;
  }
}

describeNative('17 queues with workers and events', () => {
  let server: NativeServer;
  let watcher: Redis;
  let module: TestingModule | undefined;

  beforeEach(async () => {
    server = await startNative();
    watcher = new Redis(server.url);
    watcher.on('error', () => undefined);
    done = 0;
    module = await createModule({
      redis: { url: server.url },
      // A loaded machine takes its time for a burst; how fast an add gives up is not the question here.
      imports: [QueueModule.forRoot({ addTimeout: '30s' }), QueueModule.forFeature(QUEUES)],
      providers: [Worker],
    });
  });
  afterEach(async () => {
    await module?.close();
    watcher.disconnect();
    await server.stop();
  });

  async function clients(): Promise<string[]> {
    const list = String(await watcher.client('LIST'));
    const names = list.split('\n').flatMap((line) => /name=(\S*) /.exec(line)?.[1] ?? []);
    return names.filter((name) => name !== '');
  }

  it('A11 R29 need at most 19 connections, and leave none', async () => {
    const services = inject(module!, QueueService);
    await Promise.all(
      QUEUES.map((queue) => inject(module!, QueueEventsService).listen(queue, () => undefined)),
    );
    for (const { name } of QUEUES) await services.producer(name).add('run', 1);
    await eventually('every queue works', () => done === 17);

    const names = await clients();
    const queues = names.filter((name) => !name.includes(':command:'));
    process.stderr.write(`Q11 17 queues, 17 workers, events of all: ${queues.length} connections\n`);
    expect(queues.length).toBeLessThanOrEqual(19);
    expect(names.length - queues.length).toBe(1);

    await module!.close();
    module = undefined;
    await eventually('none is left', async () => (await clients()).length === 0);
  }, 30_000);

  it('run 17,600 jobs, paced and then in a burst, and lose no event of their ends', async () => {
    const services = inject(module!, QueueService);
    const completed = new Set<string>();
    await Promise.all(
      QUEUES.map((queue) =>
        inject(module!, QueueEventsService).listen(queue, ({ event, jobId }) => {
          if (event === 'completed' && jobId?.includes('__')) completed.add(jobId);
        }),
      ),
    );
    const ids: string[] = [];
    for (let index = 0; index < 600; index += 1) {
      ids.push(await services.producer(QUEUES[index % 17]!.name).add('run', index));
      if (index % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }

    const burst = QUEUES.flatMap(({ name }) =>
      Array.from({ length: 10 }, async () => {
        for (let index = 0; index < 100; index += 1)
          ids.push(await services.producer(name).add('run', index));
      }),
    );
    await Promise.all(burst);

    expect(ids).toHaveLength(17_600);
    await eventually('every job ran', () => done === 17_600, 60_000);
    await eventually('every end was heard', () => completed.size === 17_600, 20_000);
    expect(ids.every((id) => completed.has(id))).toBe(true);
  }, 120_000);
});
