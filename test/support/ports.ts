import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

/** Distance between the port of a cluster node and that of its bus. */
const BUS_OFFSET = 10_000;
/** Both a node port and its bus port lie below the range the system hands out on its own. */
const LOWEST = 11_000;
const HIGHEST = 22_000;

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Distinct free loopback ports whose cluster bus ports (10,000 higher) are free as well. */
export async function freeBusPorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  // A random start keeps suites that run at the same time apart.
  let candidate = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
  for (let tried = 0; ports.length < count; tried += 1) {
    if (tried > HIGHEST - LOWEST) throw new Error(`no ${count} free ports from ${LOWEST} to ${HIGHEST}`);
    candidate = candidate >= HIGHEST ? LOWEST : candidate + 1;
    if ((await isFree(candidate)) && (await isFree(candidate + BUS_OFFSET))) ports.push(candidate);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const bound = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (!(await bound)) return false;
  server.close();
  await once(server, 'close');
  return true;
}

/** Where {@link answers} knocks: a loopback port, a unix socket, or a port with TLS. */
export type Door = number | string | { readonly port: number; readonly tls: ConnectionOptions };

/** Whether something accepts connections there and answers PING, be it with an error. */
export function answers(door: Door): Promise<boolean> {
  return new Promise((resolve) => {
    const { socket, opened } = knock(door);
    const finish = (value: boolean): void => {
      socket.destroy();
      resolve(value);
    };
    socket.setTimeout(500, () => finish(false));
    socket.once(opened, () => socket.write('PING\r\n'));
    socket.once('data', (data) => finish(/^[+-]/.test(data.toString('latin1'))));
    socket.once('close', () => finish(false));
    socket.on('error', () => finish(false));
  });
}

function knock(door: Door): { socket: Socket; opened: 'connect' | 'secureConnect' } {
  if (typeof door === 'number') return { socket: connect(door, '127.0.0.1'), opened: 'connect' };
  if (typeof door === 'string') return { socket: connect(door), opened: 'connect' };
  const socket = connectTls({ host: '127.0.0.1', port: door.port, ...door.tls });
  return { socket, opened: 'secureConnect' };
}
