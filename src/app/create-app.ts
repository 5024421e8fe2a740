import 'reflect-metadata';
import type { ServerResponse } from 'node:http';
import type { INestApplication, LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule, type AppOptions } from './app.module.js';
import { problem } from './problem.js';
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
  return new FastifyAdapter({ bodyLimit: 100_000, frameworkErrors: answerProblem });
}

/** For paths that Fastify refuses before it asks Nest, whose filter never sees them. */
function answerProblem(
  error: { statusCode?: number },
  _request: unknown,
  { raw }: { raw: ServerResponse },
): void {
  const body = problem(error.statusCode ?? 500, 'The path of the request cannot be read');
  raw.writeHead(body.status, { 'Content-Type': 'application/problem+json' }).end(JSON.stringify(body));
}
