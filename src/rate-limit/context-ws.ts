import type { ExecutionContext } from '@nestjs/common';
import type { ContextAdapter, Properties } from './context-adapter.js';
import { headerOf, objectOf, socketAddress, textOf } from './context-values.js';

/** Where the address of a client is kept: a socket that has closed does not tell it any more. */
const ADDRESS = Symbol.for('rednest:rate-limit:address');

type Client = Record<string | symbol, unknown>;

function clientOf(context: ExecutionContext): Client {
  return context.getArgByIndex<Client>(0);
}

function handshakeOf(client: Client): Properties | undefined {
  return objectOf(client['handshake']);
}

/** Gateways on socket.io and on ws. */
export const wsContext: ContextAdapter = {
  // Not the message: whoever writes it could choose whom it counts for.
  subjects: (context) => {
    const client = clientOf(context);
    const data = objectOf(client['data']);
    return data ? [client, data] : [client];
  },
  address: (context) => {
    const client = clientOf(context);
    client[ADDRESS] ??= textOf(handshakeOf(client)?.['address']) ?? socketAddress(client['_socket']);
    return client[ADDRESS] as string | undefined;
  },
  header: (context, name) => headerOf(handshakeOf(clientOf(context)), name),
  response: () => undefined,
  holder: (context) => objectOf(context.getArgByIndex(1)),
  exception: async (problem, retryAfterMs, cause) => {
    const { WsException } = await import('@nestjs/websockets');
    return Object.assign(new WsException({ ...problem, retryAfterMs }), { cause });
  },
};
