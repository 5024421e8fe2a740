import { Inject, Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, ModulesContainer, Reflector } from '@nestjs/core';
import { ConfigurationError, redactText, resolveDuration } from '../common/index.js';
import { afterBootstrap, ConnectionRegistry, DrainRegistry } from '../redis/index.js';
import { JobDispatcher } from './job-dispatcher.js';
import type { QueueName } from './queue-name.js';
import { QueueWorker } from './queue-worker.js';
import {
  QUEUE_PROCESSOR,
  type QueueProcessorMetadata,
  type QueueProcessorOptions,
} from './queue.decorators.js';
import { bullPrefix } from './queue.keyspace.js';
import type { ResolvedQueueOptions } from './queue.options.js';
import { QUEUE_OPTIONS } from './queue.tokens.js';
import { RepeatLog } from './repeat-log.js';

/** Metadata key of `@Processor` in @nestjs/bullmq, whose workers would share the producer's connection. */
const FOREIGN_PROCESSOR = 'bullmq:processor_metadata';

interface Processor {
  instance: object;
  metadata: QueueProcessorMetadata;
}

/**
 * Finds the providers with `@QueueProcessor`, starts their workers after the application has
 * bootstrapped, and stops them before anything those providers depend on.
 */
@Injectable()
export class WorkerExplorer implements OnModuleInit {
  private readonly logger = new Logger('Queue');
  private readonly faults = new RepeatLog((line) => this.logger.error(line));
  private readonly workers = new Map<QueueName, QueueWorker>();

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly modules: ModulesContainer,
    private readonly reflector: Reflector,
    private readonly registry: ConnectionRegistry,
    private readonly drain: DrainRegistry,
    @Inject(QUEUE_OPTIONS) private readonly options: ResolvedQueueOptions,
  ) {}

  /** Names of the queues this process runs workers for. */
  get queues(): readonly QueueName[] {
    return [...this.workers.keys()];
  }

  onModuleInit(): void {
    this.refuseForeignProcessors();
    if (this.options.role === 'producer') return;
    const processors = this.findProcessors();
    if (processors.length === 0) return;
    for (const { instance } of processors) this.drain.host(instance);
    afterBootstrap(this.modules, () => this.start(processors));
  }

  private start(processors: readonly Processor[]): void {
    if (this.drain.state !== 'running') return;
    for (const { instance, metadata } of processors) {
      const dispatcher = new JobDispatcher(instance);
      for (const name of metadata.names) this.startWorker(name, metadata.options, dispatcher);
    }
    this.drain.register({
      name: 'queue workers',
      drain: async (signal) => {
        await Promise.all([...this.workers.values()].map((worker) => worker.drain(signal)));
      },
    });
  }

  private startWorker(name: QueueName, settings: QueueProcessorOptions, dispatcher: JobDispatcher): void {
    if (this.workers.has(name)) {
      throw new ConfigurationError(`Queue "${name}" has two processors; merge them into one class`);
    }
    const { connection, keepCompletedMs, keepFailedMs } = this.options;
    const worker = new QueueWorker({
      queue: name,
      prefix: bullPrefix(this.registry.configuration.keyPrefix, name),
      connection: this.registry.connection(connection, 'worker'),
      ...resolveProcessorOptions(settings),
      keepCompletedMs,
      keepFailedMs,
      dispatcher,
      onError: (queue, error) => this.faults.report(`Worker of "${queue}": ${redactText(error.message)}`),
    });
    this.workers.set(name, worker);
    worker.start();
  }

  private findProcessors(): Processor[] {
    return this.discovery.getProviders().flatMap(({ metatype, instance, name }) => {
      if (typeof metatype !== 'function') return [];
      const metadata = this.reflector.get<QueueProcessorMetadata | undefined>(QUEUE_PROCESSOR, metatype);
      if (!metadata) return [];
      if (typeof instance !== 'object' || instance === null) {
        throw new ConfigurationError(`Processor ${String(name)} must not be request scoped`);
      }
      if (new JobDispatcher(instance as object).jobNames.length === 0) {
        throw new ConfigurationError(`Processor ${String(name)} has no method with @OnJob`);
      }
      return [{ instance: instance as object, metadata }];
    });
  }

  private refuseForeignProcessors(): void {
    for (const { metatype, name } of this.discovery.getProviders()) {
      if (typeof metatype === 'function' && Reflect.hasMetadata(FOREIGN_PROCESSOR, metatype)) {
        throw new ConfigurationError(
          `${String(name)} uses @Processor of @nestjs/bullmq; use @QueueProcessor of rednest/queue, ` +
            'which gives its worker a connection of its own',
        );
      }
    }
  }
}

const STALL_BOUNDS = { minMs: 1000, maxMs: 3_600_000 };

function resolveProcessorOptions(options: QueueProcessorOptions) {
  const { concurrency = 1, lockDuration = '30s', stalledInterval = '30s' } = options;
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw new ConfigurationError(
      'Option "concurrency" of @QueueProcessor must be a whole number of at least 1',
    );
  }
  return {
    concurrency,
    lockDurationMs: resolveDuration(lockDuration, 'lockDuration', STALL_BOUNDS),
    stalledIntervalMs: resolveDuration(stalledInterval, 'stalledInterval', STALL_BOUNDS),
  };
}
