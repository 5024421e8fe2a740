import { Catch, HttpStatus, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { redactText } from 'rednest';
import { healthResult, toProblem } from './problem.js';

/** Answers every error as a problem document (RFC 9457), with `Retry-After` where waiting helps. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger('Problem');

  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const { httpAdapter } = this.adapterHost;
    const health = healthResult(error);
    if (health) {
      httpAdapter.reply(host.switchToHttp().getResponse(), health, HttpStatus.SERVICE_UNAVAILABLE);
      return;
    }
    const body = toProblem(error);
    if (body.status === 500) this.logger.error(redactText(error instanceof Error ? (error.stack ?? '') : ''));
    const response: unknown = host.switchToHttp().getResponse();
    httpAdapter.setHeader(response, 'Content-Type', 'application/problem+json');
    if (typeof body['retryAfterMs'] === 'number') {
      httpAdapter.setHeader(
        response,
        'Retry-After',
        String(Math.max(1, Math.ceil(body['retryAfterMs'] / 1000))),
      );
    }
    httpAdapter.reply(response, body, body.status);
  }
}
