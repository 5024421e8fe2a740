import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { RedisHealthModule } from 'rednest/health';
import { HealthController } from './health.controller.js';
import { QueuesHealthIndicator } from './queues.indicator.js';

@Module({
  imports: [TerminusModule.forRoot({ logger: false }), RedisHealthModule.forRoot()],
  controllers: [HealthController],
  providers: [QueuesHealthIndicator],
})
export class HealthModule {}
