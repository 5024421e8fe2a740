import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { requireNativeBinary, ServerProcess } from './server-process.js';

/** Asks the server on a loopback port one thing, on a connection of its own, in bounded time. */
export async function ask(port: number, command: string, ...args: (string | number)[]): Promise<unknown> {
  return converse(port, (client) => client.call(command, ...args.map(String)));
}

/** Runs several commands on one short-lived connection. */
export async function converse<T>(port: number, talk: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    retryStrategy: () => null,
    enableReadyCheck: false,
    disableClientInfo: true,
    protocol: 2,
    connectTimeout: 2000,
    commandTimeout: 5000,
    disconnectTimeout: 100,
  });
  client.on('error', () => undefined);
  try {
    return await talk(client);
  } finally {
    client.disconnect();
  }
}

/** A pattern's first group in the server's INFO of a section, or undefined. */
export async function infoField(port: number, section: string, field: string): Promise<string | undefined> {
  const text = String(await ask(port, 'INFO', section));
  return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(text)?.[1];
}

/**
 * A server of a set. Its settings stand in a file, so that what Sentinel or the Cluster writes there
 * survives a restart.
 */
export class TopologyNode extends ServerProcess {
  constructor(
    readonly port: number,
    what: string,
    settings: readonly string[],
    mode: readonly string[] = [],
  ) {
    super({
      binary: requireNativeBinary(),
      what: `${what} on port ${port}`,
      door: port,
      args: (dir) => [join(dir, 'redis.conf'), ...mode],
    });
    const base = [`port ${port}`, 'bind 127.0.0.1', `dir ${this.dir}`, `logfile ${this.dir}/server.log`];
    writeFileSync(join(this.dir, 'redis.conf'), `${[...base, ...settings].join('\n')}\n`);
  }
}

/** Starts all nodes at once; when one fails, ends them all. */
export async function startAll(nodes: readonly TopologyNode[]): Promise<void> {
  const started = await Promise.allSettled(nodes.map((node) => node.start()));
  const failed = started.find((result) => result.status === 'rejected');
  if (!failed) return;
  await stopAll(nodes);
  throw failed.reason;
}

/** Ends all nodes and removes what they wrote. */
export async function stopAll(nodes: readonly TopologyNode[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.stop()));
}
