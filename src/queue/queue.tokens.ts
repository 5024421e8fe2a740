import { Inject } from '@nestjs/common';
import type { QueueName } from './queue-name.js';

/** Token of the validated options of the module. */
export const QUEUE_OPTIONS = Symbol.for('rednest:queue:options');

/** Token of the {@link QueueProducer} of a queue. */
export function getQueueProducerToken(name: QueueName): symbol {
  return Symbol.for(`rednest:queue:producer:${name}`);
}

/**
 * Injects the {@link QueueProducer} of a queue registered with `QueueModule.forFeature`.
 *
 * @example
 * constructor(@InjectQueueProducer('reports__pdf') private readonly reports: QueueProducer) {}
 */
export function InjectQueueProducer(name: QueueName): ParameterDecorator & PropertyDecorator {
  return Inject(getQueueProducerToken(name));
}
