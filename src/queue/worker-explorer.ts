import { Inject, Injectable, Logger, type OnModuleInit, type Type } from '@nestjs/common';
import { DiscoveryService, ModulesContainer, Reflector } from '@nestjs/core';
import { ConfigurationError } from '../common/index.js';
import { afterBootstrap, ConnectionRegistry, DrainRegistry } from '../redis/index.js';
import { Processor } from './processor.js';
import { QueueContext } from './queue-context.js';
import type { QueueName } from './queue-name.js';
import { QueueRecorders } from './queue-recorder.js';
import { QueueWorkshop } from './queue-workshop.js';
import { QUEUE_PROCESSOR, type QueueProcessorMetadata } from './queue.decorators.js';
import type { ResolvedQueueOptions } from './queue.options.js';
import { QUEUE_OPTIONS } from './queue.tokens.js';
import { RepeatLog } from './repeat-log.js';

/** Metadata key of `@Processor` in @nestjs/bullmq, whose workers would share the producer's connection. */
const FOREIGN_PROCESSOR = 'bullmq:processor_metadata';

/**
 * Finds the providers with `@QueueProcessor`, starts their workers after the application has
 * bootstrapped, and stops them before anything those providers depend on.
 */
@Injectable()
export class WorkerExplorer implements OnModuleInit {
  private readonly logger = new Logger('Queue');
  private readonly faults = new RepeatLog((line) => this.logger.error(line));
  private workshop: QueueWorkshop | undefined;

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly modules: ModulesContainer,
    private readonly reflector: Reflector,
    private readonly registry: ConnectionRegistry,
    private readonly drain: DrainRegistry,
    private readonly context: QueueContext,
    private readonly recorders: QueueRecorders,
    @Inject(QUEUE_OPTIONS) private readonly options: ResolvedQueueOptions,
  ) {}

  /** Names of the queues this process runs workers for. */
  get queues(): readonly QueueName[] {
    return this.workshop?.names ?? [];
  }

  onModuleInit(): void {
    this.refuseForeignProcessors();
    // Also where no worker starts: a missing handler is a fault of the code, not of the process.
    const processors = this.findProcessors();
    if (this.options.role === 'producer' || processors.length === 0) return;
    for (const { instance } of processors) this.drain.host(instance);
    afterBootstrap(this.modules, () => this.start(processors));
  }

  private start(processors: readonly Processor[]): void {
    if (this.drain.state !== 'running') return;
    const workshop = new QueueWorkshop({
      registry: this.registry,
      options: this.options,
      recorders: this.recorders,
      report: (line) => this.faults.report(line),
    });
    this.workshop = workshop;
    this.drain.register({ name: 'queue workers', drain: (signal) => workshop.drain(signal) });
    for (const processor of processors) workshop.open(processor);
  }

  private findProcessors(): Processor[] {
    return this.discovery.getProviders().flatMap(({ metatype, instance, name }) => {
      const metadata = this.metadataOf(metatype) ?? this.metadataOf((instance as object | null)?.constructor);
      if (!metadata) return [];
      if (typeof instance !== 'object' || instance === null) {
        throw new ConfigurationError(`Processor ${String(name)} must not be request scoped`);
      }
      return [new Processor(instance as object, metadata, this.context)];
    });
  }

  /** A provider with a factory shows its class in what it made only. */
  private metadataOf(host: unknown): QueueProcessorMetadata | undefined {
    if (typeof host !== 'function') return undefined;
    return this.reflector.get<QueueProcessorMetadata | undefined>(QUEUE_PROCESSOR, host as Type);
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
