import type { ExecutionContext } from '@nestjs/common';
import { graphqlContext } from './context-graphql.js';
import { httpContext } from './context-http.js';
import { rpcContext } from './context-rpc.js';
import { wsContext } from './context-ws.js';
import type { RateLimitProblem } from './problem.js';

/** Anything with properties. */
export type Properties = Readonly<Record<string, unknown>>;

/**
 * What guard and interceptor need to know about a kind of context.
 *
 * @internal
 */
export interface ContextAdapter {
  /** Objects in which a user or a tenant may stand, the nearest first. None that a client writes itself. */
  subjects(context: ExecutionContext): readonly Properties[];
  /** Address of the client as the transport tells it; `undefined` when there is none. */
  address(context: ExecutionContext): string | undefined;
  /** A header of the request. */
  header(context: ExecutionContext, name: string): string | undefined;
  /** The response that fields can be written to; `undefined` when there is none, or it has gone out. */
  response(context: ExecutionContext): object | undefined;
  /** An object that guard and handler share and no other request has. */
  holder(context: ExecutionContext): object | undefined;
  /** What the transport makes an answer of. Its `cause` is the library's error. */
  exception(problem: RateLimitProblem, retryAfterMs: number, cause: Error): Error | Promise<Error>;
}

const ADAPTERS: Readonly<Record<string, ContextAdapter>> = {
  http: httpContext,
  graphql: graphqlContext,
  ws: wsContext,
  rpc: rpcContext,
};

/** The adapter for a context; `undefined` for a kind that Nest does not know. */
export function adapterOf(context: ExecutionContext): ContextAdapter | undefined {
  return ADAPTERS[context.getType()];
}
