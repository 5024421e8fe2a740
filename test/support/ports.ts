import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

/** Distance between the port of a cluster node and that of its bus. */
const BUS_OFFSET = 10_000;
/**
 * Ports from here on, and their bus ports, lie below the range the system takes ports of outgoing connections from.
 * A port of that range may be free when it is looked up and belong to any client a millisecond later.
 */
const LOWEST = 11_000;
/** Workers of Jest that run at the same time each have their own share of {@link WORKER_PORTS} ports. */
const WORKERS = 8;
const WORKER_PORTS = BUS_OFFSET / WORKERS;

const share = LOWEST + (Number(process.env['JEST_WORKER_ID'] ?? 0) % WORKERS) * WORKER_PORTS;
// The start is random, so that runs of several test commands at the same time keep apart.
let looked = Math.floor(Math.random() * WORKER_PORTS);

/** A loopback port that was free a moment ago, and that no other worker of this run is given. */
export async function freePort(): Promise<number> {
  return search((port) => isFree(port));
}

/** Distinct ports like those of {@link freePort} whose cluster bus ports (10,000 higher) are free as well. */
export async function freeBusPorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    ports.push(await search(async (port) => (await isFree(port)) && (await isFree(port + BUS_OFFSET))));
  }
  return ports;
}

/** The next port of this worker that suits. Each is looked at once until all had their turn. */
async function search(suits: (port: number) => Promise<boolean>): Promise<number> {
  for (let tried = 0; tried < WORKER_PORTS; tried += 1) {
    looked = (looked + 1) % WORKER_PORTS;
    const port = share + looked;
    if (await suits(port)) return port;
  }
  throw new Error(`none of the ports from ${share} to ${share + WORKER_PORTS - 1} is free`);
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
