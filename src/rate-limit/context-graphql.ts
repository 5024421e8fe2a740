import type { ExecutionContext } from '@nestjs/common';
import type { ContextAdapter, Properties } from './context-adapter.js';
import { headerOf, objectOf, socketAddress, textOf } from './context-values.js';

/** Arguments of a resolver: parent, arguments, context value, info. */
const CONTEXT_VALUE = 2;
const INFO = 3;

function valueOf(context: ExecutionContext): Properties {
  return objectOf(context.getArgByIndex(CONTEXT_VALUE)) ?? {};
}

/** Where the drivers put it: `req` (Apollo), `request` or `reply.request` (Mercurius). */
function requestOf(value: Properties): Properties | undefined {
  return (
    objectOf(value['req']) ?? objectOf(value['request']) ?? objectOf(objectOf(value['reply'])?.['request'])
  );
}

function responseOf(value: Properties): Properties | undefined {
  return (
    objectOf(value['reply']) ??
    objectOf(value['res']) ??
    objectOf(value['response']) ??
    objectOf(requestOf(value)?.['res'])
  );
}

/** Whether fields can still be written: not on the connection of a subscription, and not twice. */
function isWritable(response: Properties): boolean {
  const raw = objectOf(response['raw']) ?? response;
  return typeof raw['setHeader'] === 'function' && raw['headersSent'] === false;
}

/** Resolvers, whatever the driver. */
export const graphqlContext: ContextAdapter = {
  subjects: (context) => {
    const value = valueOf(context);
    const request = requestOf(value);
    return request ? [request, value] : [value];
  },
  address: (context) => {
    const request = requestOf(valueOf(context));
    return textOf(request?.['ip']) ?? socketAddress(request?.['socket']);
  },
  header: (context, name) => headerOf(requestOf(valueOf(context)), name),
  response: (context) => {
    const response = responseOf(valueOf(context));
    return response && isWritable(response) ? response : undefined;
  },
  holder: (context) => objectOf(context.getArgByIndex(INFO)),
  exception: async (problem, retryAfterMs, cause) => {
    const { GraphQLError } = await import('graphql');
    const { status, title, ...extensions } = problem;
    return new GraphQLError(title, {
      originalError: cause,
      extensions: {
        code: cause instanceof Error ? codeOf(cause) : undefined,
        status,
        retryAfterMs,
        ...extensions,
      },
    });
  },
};

function codeOf(error: Error): unknown {
  return (error as { code?: unknown }).code;
}

/**
 * Two objects that together stand for one execution of one operation: the context value, which one request
 * has, and the values of the variables, which one execution has.
 */
export function executionOf(context: ExecutionContext): { request: object; execution: object } {
  const request = valueOf(context);
  const info = objectOf(context.getArgByIndex(INFO));
  return { request, execution: objectOf(info?.['variableValues']) ?? request };
}
