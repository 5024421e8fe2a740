import { Inject } from '@nestjs/common';
import type { QueueContract } from './queue-contract.js';
import type { QueueName } from './queue-name.js';

/** Token of the validated options of the module. */
export const QUEUE_OPTIONS = Symbol.for('rednest:queue:options');

/** Token of the {@link QueueProducer} of a queue. */
export function getQueueProducerToken(queue: QueueName | QueueContract): symbol {
  return Symbol.for(`rednest:queue:producer:${typeof queue === 'string' ? queue : queue.name}`);
}

/**
 * Injects the {@link QueueProducer} of a queue registered with `QueueModule.forFeature`.
 *
 * @example
 * constructor(@InjectQueueProducer(Mail) private readonly mail: QueueProducer<typeof Mail>) {}
 */
export function InjectQueueProducer(
  queue: QueueName | QueueContract,
): ParameterDecorator & PropertyDecorator {
  return Inject(getQueueProducerToken(queue));
}
