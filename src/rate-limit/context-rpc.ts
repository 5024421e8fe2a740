import type { ExecutionContext } from '@nestjs/common';
import type { ContextAdapter, Properties } from './context-adapter.js';
import { objectOf, socketAddress } from './context-values.js';

function dataOf(context: ExecutionContext): Properties | undefined {
  return objectOf(context.getArgByIndex(0));
}

/** The transport's own context, such as `TcpContext`; one per message. */
function transportOf(context: ExecutionContext): Properties | undefined {
  return objectOf(context.getArgByIndex(1));
}

/** Messages between services: over TCP there is an address, through a broker there is none. */
export const rpcContext: ContextAdapter = {
  // Services trust each other: who a message is for is told by the message.
  subjects: (context) => [dataOf(context), transportOf(context)].filter((subject) => subject !== undefined),
  address: (context) => {
    const transport = transportOf(context);
    const getSocket = transport?.['getSocketRef'];
    if (typeof getSocket !== 'function') return undefined;
    const socket = objectOf(getSocket.call(transport));
    return socketAddress(socket?.['netSocket']) ?? socketAddress(socket?.['socket']) ?? socketAddress(socket);
  },
  header: () => undefined,
  response: () => undefined,
  holder: (context) => transportOf(context),
  exception: async (problem, retryAfterMs, cause) => {
    const { RpcException } = await import('@nestjs/microservices');
    return Object.assign(new RpcException({ ...problem, retryAfterMs }), { cause });
  },
};
