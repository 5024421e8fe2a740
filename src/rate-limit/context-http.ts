import { HttpException, type ExecutionContext } from '@nestjs/common';
import type { ContextAdapter, Properties } from './context-adapter.js';
import { headerOf } from './context-values.js';

function requestOf(context: ExecutionContext): Properties {
  return context.getArgByIndex<Properties>(0);
}

/** HTTP on any adapter. */
export const httpContext: ContextAdapter = {
  subjects: (context) => [requestOf(context)],
  address: (context) => {
    const { ip } = requestOf(context);
    return typeof ip === 'string' ? ip : undefined;
  },
  header: (context, name) => headerOf(requestOf(context), name),
  response: (context) => context.getArgByIndex<object>(1),
  holder: (context) => requestOf(context),
  exception: (problem, _retryAfterMs, cause) => new HttpException(problem, problem.status, { cause }),
};
