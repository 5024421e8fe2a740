import 'reflect-metadata';
import type { INestApplication, LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AppOptions } from './app.module.js';
import { AppModule } from './app.module.js';
import { ServiceLogger } from './service-logger.js';

/** Creates the service, not listening yet. */
export async function createApp(
  options: AppOptions,
  logger?: LoggerService | false,
): Promise<INestApplication> {
  const { settings } = options;
  return NestFactory.create(AppModule.forRoot(options), await createAdapter(settings.httpAdapter), {
    logger: logger ?? new ServiceLogger(settings.logFormat),
    abortOnError: false,
  });
}

/** Only the adapter in use is loaded. */
async function createAdapter(name: 'fastify' | 'express') {
  if (name === 'express') {
    const { ExpressAdapter } = await import('@nestjs/platform-express');
    return new ExpressAdapter();
  }
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return new FastifyAdapter({ bodyLimit: 100_000 });
}
