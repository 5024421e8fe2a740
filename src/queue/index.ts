export { DeadLetters, type DeadLetterFilter, type ReplayOptions } from './dead-letters.js';
export { envelope, openEnvelope, type JobEnvelope, type JobTrace } from './job-envelope.js';
export { queueOf } from './job-id.js';
export type { JobView, JobViewState } from './job-view.js';
export type { NotifyOnceOptions } from './once-claims.js';
export { QueueContext, type QueueScope } from './queue-context.js';
export {
  defineQueue,
  type FairOptions,
  type JobData,
  type JobInput,
  type JobName,
  type JobResult,
  type JobReturn,
  type JobSchemas,
  type QueueContract,
  type QueueDefinition,
} from './queue-contract.js';
export type { QueueEvent, QueueEventListener } from './queue-events.js';
export { QueueEventsService } from './queue-events.service.js';
export { flowNode, QueueFlows, type FlowNode } from './queue-flows.js';
export {
  QueueHealthService,
  type QueueHealth,
  type QueueHealthLimits,
  type QueuesHealth,
} from './queue-health.js';
export { assertQueueName, type CheckedQueueName, type QueueName } from './queue-name.js';
export {
  QueueProducer,
  type AddJobOptions,
  type OnceOptions,
  type OnceResult,
  type OnFinalFailure,
} from './queue-producer.js';
export type { QueueCounts, QueueStats } from './queue-recorder.js';
export type { QueueSettings } from './queue-settings.js';
export { completed, drain, type CompletedJob } from './queue-testing.js';
export {
  OnDeadLetter,
  OnJob,
  QueueProcessor,
  Schedule,
  type DeadLetter,
  type HandlerName,
  type JobContext,
  type JobHandler,
  type JobHandlers,
  type QueueProcessorOptions,
  type ScheduleOptions,
  type ScheduleTime,
} from './queue.decorators.js';
export {
  JobValidationError,
  MissingTenantError,
  QueueUnavailableError,
  UnhandledJobError,
  UnknownJobError,
  UnknownQueueError,
} from './queue.errors.js';
export { ONCE_KEYSPACE } from './queue.keyspace.js';
export { QueueModule } from './queue.module.js';
export {
  QUEUE_DEFAULTS,
  resolveQueueOptions,
  type QueueModuleOptions,
  type QueueRole,
  type ResolvedQueueOptions,
} from './queue.options.js';
export { QueueService } from './queue.service.js';
export { getQueueProducerToken, InjectQueueProducer, QUEUE_OPTIONS } from './queue.tokens.js';
export { WorkerExplorer } from './worker-explorer.js';
