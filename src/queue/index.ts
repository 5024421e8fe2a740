export { envelope, openEnvelope, type JobEnvelope } from './job-envelope.js';
export { queueOf } from './job-id.js';
export type { JobView, JobViewState } from './job-view.js';
export { assertQueueName, type QueueName } from './queue-name.js';
export { QueueProducer, type AddJobOptions } from './queue-producer.js';
export {
  OnJob,
  QueueProcessor,
  type JobContext,
  type JobHandler,
  type QueueProcessorOptions,
} from './queue.decorators.js';
export { QueueUnavailableError, UnhandledJobError, UnknownQueueError } from './queue.errors.js';
export { ONCE_KEYSPACE } from './queue.keyspace.js';
export { QueueModule } from './queue.module.js';
export {
  QUEUE_DEFAULTS,
  resolveQueueOptions,
  type QueueModuleOptions,
  type QueueRole,
  type ResolvedQueueOptions,
} from './queue.options.js';
export { QueueService, type NotifyOnceOptions, type OnceResult } from './queue.service.js';
export { getQueueProducerToken, InjectQueueProducer, QUEUE_OPTIONS } from './queue.tokens.js';
export { WorkerExplorer } from './worker-explorer.js';
