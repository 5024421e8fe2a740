import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { FlowProducer, type FlowJob, type JobNode } from 'bullmq';
import { ConnectionRegistry } from '../redis/index.js';
import { openEnvelope } from './job-envelope.js';
import type { JobInput, JobName, QueueContract } from './queue-contract.js';
import { toQueueError } from './queue-failure.js';
import type { QueueName } from './queue-name.js';
import { defaultJobOptions } from './queue-settings.js';
import { bullPrefix } from './queue.keyspace.js';
import type { ResolvedQueueOptions } from './queue.options.js';
import { QueueService } from './queue.service.js';
import { QUEUE_OPTIONS } from './queue.tokens.js';
import type { AddJobOptions } from './queue-producer.js';

/** A job of a flow with the jobs it waits for. Make it with {@link flowNode}. */
export interface FlowNode {
  /** Queue the job goes to. */
  readonly queue: QueueContract;
  /** Name of the job in the contract. */
  readonly jobName: string;
  /** Payload, not yet checked. */
  readonly data: unknown;
  /** Options of this job alone. */
  readonly options: Pick<AddJobOptions, 'attempts' | 'backoff' | 'tenantId'>;
  /** Jobs that have to complete first. */
  readonly children: readonly FlowNode[];
}

/**
 * One job of a flow, checked against its contract by the compiler.
 *
 * @example
 * flows.add(flowNode(Reports, 'merge', { id }, { tenantId }, parts.map((part) => flowNode(Reports, 'part', part, { tenantId }))));
 */
export function flowNode<C extends QueueContract, N extends JobName<C>>(
  queue: C,
  jobName: N,
  data: JobInput<C, N>,
  options: FlowNode['options'] = {},
  children: readonly FlowNode[] = [],
): FlowNode {
  return { queue, jobName, data, options, children };
}

/**
 * Flows of BullMQ: a job that runs after its children, which may be on other queues. All jobs of a flow are
 * added in one transaction; in a Cluster they must therefore be on one queue.
 */
@Injectable()
export class QueueFlows implements OnApplicationShutdown {
  private producer: FlowProducer | undefined;

  constructor(
    private readonly registry: ConnectionRegistry,
    private readonly queues: QueueService,
    @Inject(QUEUE_OPTIONS) private readonly options: ResolvedQueueOptions,
  ) {}

  /**
   * Adds a flow. Handlers reach the results of children through `job.getChildrenValues()`.
   *
   * @returns BullMQ's tree of jobs
   * @throws the errors of {@link QueueProducer.add}
   */
  async add(flow: FlowNode): Promise<JobNode> {
    const tree = await this.toJob(flow);
    const executor = this.registry.executor(this.options.connection, 'producer');
    try {
      const added = await executor.run('queue.flow.add', () => this.flows().add(tree), {
        deadlineMs: this.options.addTimeoutMs,
      });
      this.record('added', tree);
      return added;
    } catch (error) {
      this.record('add-failed', tree);
      throw toQueueError(flow.queue.name, error);
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.producer?.close().catch(() => undefined);
  }

  private async toJob({ queue, jobName, data, options, children }: FlowNode): Promise<FlowJob> {
    const producer = this.queues.producer(queue.name);
    const { intake } = producer;
    const { tenantId, ...jobOptions } = options;
    await intake.checkStorable(jobName, data);
    return {
      name: jobName,
      queueName: queue.name,
      prefix: bullPrefix(this.registry.configuration.keyPrefix, queue.name),
      data: intake.wrap(data, intake.tenantOf(jobName, tenantId)),
      opts: {
        ...defaultJobOptions(producer.settings),
        ...jobOptions,
        ...intake.laterOptions,
        jobId: producer.newJobId(),
      },
      children: await Promise.all(children.map((child) => this.toJob(child))),
    };
  }

  /** One event per job of the flow, each in its queue. */
  private record(
    event: 'added' | 'add-failed',
    { queueName, name, data, opts, children = [] }: FlowJob,
  ): void {
    const { tenantId } = openEnvelope(data);
    this.queues.producer(queueName as QueueName).recorder.record(event, () => ({
      jobName: name,
      ...(opts?.jobId === undefined ? {} : { jobId: opts.jobId }),
      ...(tenantId === null ? {} : { tenantId }),
    }));
    for (const child of children) this.record(event, child);
  }

  private flows(): FlowProducer {
    if (!this.producer) {
      this.producer = new FlowProducer({
        connection: this.registry
          .executor(this.options.connection, 'producer')
          .clientFor(this.options.addTimeoutMs),
        skipWaitingForReady: true,
        skipVersionCheck: true,
        ...(this.options.telemetry === undefined ? {} : { telemetry: this.options.telemetry }),
      });
      // Errors of the shared connection are logged once by the connection itself.
      this.producer.on('error', () => undefined);
    }
    return this.producer;
  }
}
