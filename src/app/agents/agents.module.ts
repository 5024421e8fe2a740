import { Module } from '@nestjs/common';
import { QueueModule } from 'rednest/queue';
import { AGENT_QUEUES, AgentQueues } from './agent-queues.js';

/** Eleven agent queues; who hands work to agents, or does it, imports them here. */
@Module({
  imports: [QueueModule.forFeature(AGENT_QUEUES)],
  providers: [AgentQueues],
  exports: [AgentQueues],
})
export class AgentsModule {}
