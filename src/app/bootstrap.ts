import { Logger, type INestApplication } from '@nestjs/common';
import { enableGracefulShutdown } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import { createApp } from './create-app.js';
import { readSettings } from './settings.js';

/**
 * Starts the service: settings, application, signals, HTTP.
 *
 * @throws {ConfigurationError} when the environment cannot be used
 * @throws {RedisBootError} when the Redis server does not become ready
 */
export async function bootstrap(env: NodeJS.ProcessEnv): Promise<INestApplication> {
  const settings = readSettings(env);
  const app = await createApp({ settings, env, embedded: EmbeddedRedis });
  const logger = new Logger('Service');
  enableGracefulShutdown(app, {
    onEvent: (event, signal) => logger.log(`${signal}: ${event}`),
  });
  await app.listen(settings.port, '0.0.0.0');
  announce(logger, await app.getUrl());
  return app;
}

function announce(logger: Logger, address: string): void {
  const url = address.replace(/\[::1?\]|0\.0\.0\.0/, '127.0.0.1');
  const body = '{"type":"welcome","channel":"email","to":"a@example.com","dedupeKey":"1","body":"Hi"}';
  logger.log(`Listening on ${url}`);
  logger.log('Try:');
  logger.log(`  curl ${url}/health`);
  logger.log(`  curl ${url}/campaigns/c1`);
  logger.log(
    `  curl -X POST ${url}/tenants/acme/notifications -H 'content-type: application/json' -d '${body}'`,
  );
}
