import { Module, type DynamicModule, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthCheckService, TerminusModule, type HealthCheckResult } from '@nestjs/terminus';
import { RedisModule, type RedisModuleOptions } from 'rednest';
import { RedisHealthIndicator, RedisHealthModule, type RedisHealthOptions } from 'rednest/health';
import { uniquePrefix } from './prefix.js';
import { TestLog } from './test-log.js';

/** What a health check answers over HTTP. */
export interface HealthAnswer {
  readonly httpStatus: number;
  readonly body: HealthCheckResult;
}

/** An application with Terminus and the health module. */
export interface HealthHarness {
  readonly app: INestApplicationContext;
  readonly redis: RedisHealthIndicator;
  readonly check: HealthCheckService['check'];
}

/** Starts an application; the caller closes it. */
export async function startHealth(
  options: RedisModuleOptions,
  health: DynamicModule | RedisHealthOptions = {},
  capabilities: readonly DynamicModule[] = [],
): Promise<HealthHarness> {
  const module = 'module' in health ? health : RedisHealthModule.forRoot(health);

  @Module({
    imports: [
      RedisModule.forRoot({ keyPrefix: uniquePrefix(), env: {}, logger: new TestLog(), ...options }),
      TerminusModule.forRoot({ logger: false }),
      module,
      ...capabilities,
    ],
  })
  class TestModule {}

  const app = await NestFactory.createApplicationContext(TestModule, { logger: false, abortOnError: false });
  const service = app.get(HealthCheckService);
  return { app, redis: app.get(RedisHealthIndicator), check: service.check.bind(service) };
}

/** Body of the answer, whether Terminus returns it (200) or throws it (503). */
export async function answerOf(check: Promise<HealthCheckResult>): Promise<HealthAnswer> {
  try {
    return { httpStatus: 200, body: await check };
  } catch (error) {
    const exception = error as { getStatus(): number; getResponse(): object };
    return { httpStatus: exception.getStatus(), body: exception.getResponse() as HealthCheckResult };
  }
}
