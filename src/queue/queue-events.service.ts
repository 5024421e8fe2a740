import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { redactText } from '../common/index.js';
import { ConnectionRegistry } from '../redis/index.js';
import type { QueueContract } from './queue-contract.js';
import { QueueEventReader, type QueueEventListener } from './queue-events.js';
import { nameOf } from './queue-contract.js';
import type { QueueName } from './queue-name.js';
import { bullPrefix } from './queue.keyspace.js';
import type { ResolvedQueueOptions } from './queue.options.js';
import { QUEUE_OPTIONS } from './queue.tokens.js';
import { RepeatLog } from './repeat-log.js';

/** What happens in the queues of the whole fleet; nothing is read while nobody listens. */
@Injectable()
export class QueueEventsService implements OnApplicationShutdown {
  private readonly logger = new Logger('Queue');
  private readonly faults = new RepeatLog((line) => this.logger.error(line));
  private readonly reader: QueueEventReader;

  constructor(registry: ConnectionRegistry, @Inject(QUEUE_OPTIONS) options: ResolvedQueueOptions) {
    const { keyPrefix } = registry.configuration;
    // The reader does not block, so it takes no connection of its own: that of the workers where there
    // are some, else that of the producers.
    const role = options.role === 'producer' ? 'producer' : 'worker';
    this.reader = new QueueEventReader({
      executor: registry.executor(options.connection, role),
      streamKey: (queue) => `${bullPrefix(keyPrefix, queue)}:${queue}:events`,
      onError: (error) => this.faults.report(`Events: ${redactText(error.message)}`),
    });
  }

  /**
   * Listens to the events of a queue, in order. Resolves when every event from now on will be heard.
   * BullMQ keeps some 10,000 events per queue, so a process that was away for long misses the oldest.
   *
   * @returns a function that ends it
   * @throws {RedisUnavailableError} when the end of the stream could not be looked up
   */
  listen(queue: QueueName | QueueContract, listener: QueueEventListener): Promise<() => void> {
    return this.reader.listen(nameOf(queue), listener);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.reader.close();
  }
}
