import { existsSync } from 'node:fs';
import { ConsoleLogger } from '@nestjs/common';
import { isRednestError } from 'rednest';
import { bootstrap } from './app/bootstrap.js';

if (existsSync('.env')) process.loadEnvFile('.env');

try {
  await bootstrap(process.env);
} catch (error) {
  const logger = new ConsoleLogger('Start', {
    json: process.env['NODE_ENV'] === 'production',
    logLevels: ['fatal'],
  });
  logger.fatal(
    isRednestError(error) || !(error instanceof Error) ? String(error) : (error.stack ?? error.message),
  );
  process.exit(1);
}
