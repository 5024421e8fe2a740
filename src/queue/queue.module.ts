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
import { DeadLetters } from './dead-letters.js';
import { QueueContext } from './queue-context.js';
import { nameOf, type QueueContract } from './queue-contract.js';
import { QueueEventsService } from './queue-events.service.js';
import { QueueFlows } from './queue-flows.js';
import { QueueHealthService } from './queue-health.js';
import type { QueueName } from './queue-name.js';
import { QueueProducer } from './queue-producer.js';
import { QueueRecorders } from './queue-recorder.js';
import { defaultJobOptions, settingsOf } from './queue-settings.js';
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
    QueueContext,
    QueueRecorders,
    QueueService,
    QueueEventsService,
    QueueFlows,
    QueueHealthService,
    DeadLetters,
    WorkerExplorer,
  ],
  exports: [
    QUEUE_OPTIONS,
    QueueContext,
    QueueRecorders,
    QueueService,
    QueueEventsService,
    QueueFlows,
    QueueHealthService,
    DeadLetters,
    WorkerExplorer,
  ],
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
   * Registers queues, by contract or by name alone, and provides a {@link QueueProducer} for each.
   *
   * @throws {ConfigurationError} when a name is not of the form `{namespace}__{name}`
   */
  static forFeature(queues: readonly (QueueName | QueueContract)[]): DynamicModule {
    queues.forEach(nameOf);
    return {
      module: QueueFeatureModule,
      imports: queues.map(registerQueue),
      providers: queues.map(producerProvider),
      exports: queues.map((queue) => getQueueProducerToken(queue)),
    };
  }
}

/** Holds the queues of one `forFeature` call. */
@Module({})
class QueueFeatureModule {}

function registerQueue(queue: QueueName | QueueContract): DynamicModule {
  return BullModule.registerQueueAsync({
    name: nameOf(queue),
    inject: [ConnectionRegistry, QUEUE_OPTIONS],
    useFactory: (registry: ConnectionRegistry, options: ResolvedQueueOptions) =>
      bullQueueOptions(registry, options, queue),
  });
}

/**
 * A queue must not wait for its connection: with these three skips `add` works as soon as Redis is
 * there, also when it was absent at boot; waiting is the executor's business.
 */
function bullQueueOptions(
  registry: ConnectionRegistry,
  options: ResolvedQueueOptions,
  queue: QueueName | QueueContract,
): QueueOptions {
  const { telemetry } = options;
  return {
    connection: registry.executor(options.connection, 'producer').clientFor(options.addTimeoutMs),
    prefix: bullPrefix(registry.configuration.keyPrefix, nameOf(queue)),
    skipWaitingForReady: true,
    skipVersionCheck: true,
    skipMetasUpdate: true,
    defaultJobOptions: defaultJobOptions(settingsOf(queue, options)),
    ...(telemetry === undefined ? {} : { telemetry }),
  };
}

function producerProvider(queue: QueueName | QueueContract) {
  return {
    provide: getQueueProducerToken(queue),
    useFactory: (
      raw: Queue & Partial<OnApplicationShutdown>,
      service: QueueService,
      registry: ConnectionRegistry,
      context: QueueContext,
      recorders: QueueRecorders,
      options: ResolvedQueueOptions,
    ) => {
      // Errors of the shared connection are logged once by the connection itself.
      raw.on('error', () => undefined);
      const settings = settingsOf(queue, options);
      const executor = registry.executor(options.connection, 'producer');
      const { addTimeoutMs } = options;
      const recorder = recorders.of(settings.name);
      return service.adopt(new QueueProducer({ settings, raw, executor, addTimeoutMs, context, recorder }));
    },
    inject: [
      getQueueToken(nameOf(queue)),
      QueueService,
      ConnectionRegistry,
      QueueContext,
      QueueRecorders,
      QUEUE_OPTIONS,
    ],
  };
}
