import { BullModule, getQueueToken } from '@nestjs/bullmq';
import {
  ConfigurableModuleBuilder,
  Global,
  Module,
  type DynamicModule,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import type { Queue, QueueOptions } from 'bullmq';
import { ConnectionRegistry } from '../redis/index.js';
import { assertQueueName, type QueueName } from './queue-name.js';
import { QueueProducer } from './queue-producer.js';
import { bullPrefix } from './queue.keyspace.js';
import { resolveQueueOptions, type QueueModuleOptions, type ResolvedQueueOptions } from './queue.options.js';
import { QueueService } from './queue.service.js';
import { getQueueProducerToken, QUEUE_OPTIONS } from './queue.tokens.js';
import { WorkerExplorer } from './worker-explorer.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<QueueModuleOptions>({
    optionsInjectionToken: Symbol.for('rednest:queue:input'),
  })
    .setClassMethodName('forRoot')
    .build();

/**
 * Queues on BullMQ through @nestjs/bullmq: producers that fail fast, workers on connections of their
 * own, retention, and a shutdown that lets running jobs end. Needs the peers `bullmq` and
 * `@nestjs/bullmq`, and `RedisModule`.
 *
 * @example
 * `@Module({ imports: [QueueModule.forRoot(), QueueModule.forFeature(['reports__pdf'])] })`
 */
@Global()
@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: QUEUE_OPTIONS, useFactory: resolveQueueOptions, inject: [MODULE_OPTIONS_TOKEN] },
    QueueService,
    WorkerExplorer,
  ],
  exports: [QUEUE_OPTIONS, QueueService, WorkerExplorer],
})
export class QueueModule extends ConfigurableModuleClass {
  /** Registers the module. */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    return super.forRoot(options);
  }

  /** Registers the module with options from a factory, class or existing provider. */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }

  /**
   * Registers queues and provides a {@link QueueProducer} for each.
   *
   * @throws {ConfigurationError} when a name is not of the form `{namespace}__{name}`
   */
  static forFeature(names: readonly QueueName[]): DynamicModule {
    const queues = names.map(assertQueueName);
    return {
      module: QueueFeatureModule,
      imports: queues.map(registerQueue),
      providers: queues.map(producerProvider),
      exports: queues.map((name) => getQueueProducerToken(name)),
    };
  }
}

/** Holds the queues of one `forFeature` call. */
@Module({})
class QueueFeatureModule {}

function registerQueue(name: QueueName): DynamicModule {
  return BullModule.registerQueueAsync({
    name,
    inject: [ConnectionRegistry, QUEUE_OPTIONS],
    useFactory: (registry: ConnectionRegistry, options: ResolvedQueueOptions) =>
      bullQueueOptions(registry, options, name),
  });
}

/**
 * A queue must not wait for its connection: with these three skips `add` works as soon as Redis is
 * there, also when it was absent at boot; waiting is the executor's business.
 */
function bullQueueOptions(
  registry: ConnectionRegistry,
  options: ResolvedQueueOptions,
  name: QueueName,
): QueueOptions {
  return {
    connection: registry.client(options.connection, 'producer'),
    prefix: bullPrefix(registry.configuration.keyPrefix, name),
    skipWaitingForReady: true,
    skipVersionCheck: true,
    skipMetasUpdate: true,
    defaultJobOptions: {
      attempts: options.attempts,
      backoff: { type: 'exponential', delay: options.backoffMs, jitter: 0.5 },
      removeOnComplete: { age: Math.ceil(options.keepCompletedMs / 1000) },
      removeOnFail: { age: Math.ceil(options.keepFailedMs / 1000) },
      stackTraceLimit: 20,
    },
  };
}

function producerProvider(name: QueueName) {
  return {
    provide: getQueueProducerToken(name),
    useFactory: (
      queue: Queue & Partial<OnApplicationShutdown>,
      service: QueueService,
      registry: ConnectionRegistry,
      options: ResolvedQueueOptions,
    ) => {
      // Errors of the shared connection are logged once by the connection itself.
      queue.on('error', () => undefined);
      const executor = registry.executor(options.connection, 'producer');
      return service.adopt(new QueueProducer(name, queue, executor, options.addTimeoutMs));
    },
    inject: [getQueueToken(name), QueueService, ConnectionRegistry, QUEUE_OPTIONS],
  };
}
