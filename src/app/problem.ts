import { HttpException, HttpStatus, ServiceUnavailableException } from '@nestjs/common';
import { isRednestError, type RednestError } from 'rednest';
import type { OutboundLimitError } from 'rednest/rate-limit';

/** Problem document of RFC 9457. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  [extension: string]: unknown;
}

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  404: 'Not Found',
  409: 'Conflict',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
};

/** Codes that mean "Redis is away": the request may be tried again. */
const UNAVAILABLE = new Set([
  'ERR_QUEUE_UNAVAILABLE',
  'ERR_REDIS_UNAVAILABLE',
  'ERR_REDIS_TIMEOUT',
  'ERR_REDIS_OVERLOADED',
]);

/** Builds a problem document without a type of its own. */
export function problem(status: number, detail?: string, extensions: object = {}): Problem {
  const title = TITLES[status] ?? 'Error';
  return { type: 'about:blank', title, status, ...(detail === undefined ? {} : { detail }), ...extensions };
}

/** The result of a failed health check, which has a form of its own that probes know. */
export function healthResult(error: unknown): object | undefined {
  if (!(error instanceof ServiceUnavailableException)) return undefined;
  const body = error.getResponse();
  return typeof body === 'object' && 'details' in body ? body : undefined;
}

/** Maps whatever a handler threw to a problem document. Unknown errors show nothing of themselves. */
export function toProblem(error: unknown): Problem {
  if (error instanceof HttpException) return fromHttpException(error);
  if (isRednestError(error, 'ERR_OUTBOUND_LIMIT')) return fromOutboundLimit(error as OutboundLimitError);
  if (isRednestError(error) && UNAVAILABLE.has(error.code)) return fromUnavailable(error);
  return problem(HttpStatus.INTERNAL_SERVER_ERROR, 'The request failed; the server log has the cause');
}

function fromHttpException(error: HttpException): Problem {
  const status = error.getStatus();
  const body = error.getResponse();
  if (typeof body === 'object' && 'type' in body && 'title' in body) return body as Problem;
  return problem(status, error.message);
}

function fromOutboundLimit({ code, provider, retryAfterMs }: OutboundLimitError): Problem {
  const detail = `The provider "${provider}" takes no more calls for now`;
  return problem(HttpStatus.TOO_MANY_REQUESTS, detail, { code, retryAfterMs });
}

function fromUnavailable(error: RednestError & { outcome?: unknown; retryAfterMs?: unknown }): Problem {
  const retryAfterMs = typeof error.retryAfterMs === 'number' ? error.retryAfterMs : 1000;
  return problem(HttpStatus.SERVICE_UNAVAILABLE, 'The data store did not take the request in time', {
    code: error.code,
    outcome: error.outcome,
    retryAfterMs,
  });
}
