import { Module } from '@nestjs/common';
import { QueueModule } from 'rednest/queue';
import { AGENT_QUEUES, AgentQueues } from './agent-queues.js';
import { AgentsProcessor } from './agents.processor.js';

/** Eleven agent queues; other modules import it to inject {@link AgentQueues}. */
@Module({
  imports: [QueueModule.forFeature(AGENT_QUEUES)],
  providers: [AgentQueues, AgentsProcessor],
  exports: [AgentQueues],
})
export class AgentsModule {}
