import { Cluster, type Redis, type RedisOptions } from 'ioredis';
import type { RedisClient } from './client-factory.js';
import { Heartbeat } from './heartbeat.js';

/** What a command that names no end may block before its socket is replaced and it is sent again. */
const ENDLESS_MS = 10_000;

/** Longest time a timer of Node can wait, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Time between two signs of life that a client with blocking duplicates asks for, in milliseconds. */
const BEAT_MS = 2_000;

/** What the client keeps to itself: the command whose answer comes next, and how long it asked to block. */
interface Waiting {
  readonly commandQueue: {
    peekFront(): { command: { extractBlockingTimeout(): number | null | undefined } } | undefined;
  };
}

/**
 * Lets the sockets of a client and of its duplicates be silent for as long as the command blocks whose
 * answer comes next, and `socketTimeoutMs` more. One limit for all commands would have to be longer than
 * the longest block, and a dead socket be found that late, however short the blocks are.
 */
export function withBlockingSilence<T extends RedisClient>(client: T, socketTimeoutMs: number): T {
  if (client instanceof Cluster) patchCluster(client, socketTimeoutMs);
  else patch(client, socketTimeoutMs);
  return client;
}

/**
 * Finds dead sockets of a client that does not block itself, while its duplicates do: it has nothing to
 * say for as long as they wait, and what comes after their wait would find out only then.
 */
export function withSignsOfLife<T extends RedisClient>(client: T, deadlineMs: number): T {
  const options = { everyMs: BEAT_MS, deadlineMs };
  // They end with their connection and need no end of their own.
  const watch = (node: Redis): Heartbeat => new Heartbeat(node, options);
  if (client instanceof Cluster) client.on('+node', watch);
  else watch(client);
  return client;
}

function patch(client: Redis, socketTimeoutMs: number): void {
  followBlocks(client, socketTimeoutMs);
  const duplicate = client.duplicate.bind(client);
  client.duplicate = (override?: Partial<RedisOptions>) => {
    const copy = duplicate({ ...override, socketTimeout: socketTimeoutMs });
    patch(copy, socketTimeoutMs);
    return copy;
  };
}

function patchCluster(cluster: Cluster, socketTimeoutMs: number): void {
  cluster.on('+node', (node: Redis) => followBlocks(node, socketTimeoutMs));
  const duplicate = cluster.duplicate.bind(cluster);
  cluster.duplicate = (nodes, override) => {
    const copy = duplicate(nodes, override);
    patchCluster(copy, socketTimeoutMs);
    return copy;
  };
}

/** The client reads the option whenever it starts to wait: when it sends first, and after each answer. */
function followBlocks(client: Redis, socketTimeoutMs: number): void {
  Object.defineProperty(client.options, 'socketTimeout', {
    enumerable: true,
    get: () => Math.min(MAX_TIMER_MS, socketTimeoutMs + blockOf(client as unknown as Waiting)),
  });
}

function blockOf(client: Waiting): number {
  const asked = client.commandQueue.peekFront()?.command.extractBlockingTimeout();
  // Without an option XREAD does not block at all; a time that cannot be read is refused by the server.
  if (asked === undefined || asked === null) return 0;
  return asked === 0 ? ENDLESS_MS : asked;
}
