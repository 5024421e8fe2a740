import type { Cluster, Redis } from 'ioredis';
import type { RedisClient } from './client-factory.js';
import { errorCode } from './managed-connection.js';

/** What a server says about itself when a connection is first ready. Absent: it did not say. */
export interface BootFacts {
  /** Version of Redis, such as `7.0.15`; Valkey names the Redis version it is compatible with. */
  readonly version?: string;
  readonly mode?: string;
  readonly role?: 'master' | 'replica';
  /** Server clock minus local clock, in milliseconds. */
  readonly clockSkewMs?: number;
  /** The login is not needed: the default user has no password. */
  readonly passwordUnused?: boolean;
  /** First word of the reply when `PING` was refused. */
  readonly pingRefused?: string;
  /** The user may not run scripts. */
  readonly scriptsRefused?: boolean;
  /** Commands the server refused, with the reason, such as `TIME (NOPERM)`. */
  readonly refused: readonly string[];
}

/** Settings of one server that a capability may depend on. Absent: it did not say. */
export interface StorageFacts {
  /** `maxmemory-policy`, such as `noeviction`. */
  readonly evictionPolicy?: string;
  /** Whether an append-only file or snapshots are written. */
  readonly persistent?: boolean;
  /** Commands the server refused, with the reason. */
  readonly refused: readonly string[];
}

/** Reads what decides whether a connection leads to the right place. One round trip. Never rejects. */
export async function readBootFacts(client: RedisClient, password?: string): Promise<BootFacts> {
  const ask = new Questions(client);
  const startedMs = Date.now();
  const [ping, hello, time, , login] = await Promise.all([
    ask.reply('PING'),
    ask.reply('HELLO'),
    ask.reply('TIME'),
    // No server knows this script: who may run scripts is told so.
    ask.reply('EVALSHA', '0'.repeat(40), '0'),
    password === undefined ? undefined : ask.rejection('AUTH', password),
  ]);
  const nowMs = (startedMs + Date.now()) / 2;
  // Servers before 6.0 have no HELLO; they still say how old they are.
  const info = hello === undefined ? await ask.reply('INFO', 'server') : undefined;
  const { version = infoField(info, 'redis_version'), mode, role } = parseHello(hello);
  return withoutAbsent({
    version,
    mode,
    role: role === undefined ? undefined : role === 'master' ? ('master' as const) : ('replica' as const),
    clockSkewMs: Array.isArray(time)
      ? Math.round(Number(time[0]) * 1000 + Number(time[1]) / 1000 - nowMs)
      : undefined,
    passwordUnused: login === undefined ? undefined : /without any password|no password is set/.test(login),
    pingRefused: ping === undefined ? ask.codeOf('PING') : undefined,
    scriptsRefused: ask.codeOf('EVALSHA') === 'NOPERM' ? true : undefined,
    refused: ask.refused.filter((entry) => !/^(PING|EVALSHA) /.test(entry)),
  });
}

/** Reads eviction and persistence of every master behind a client. Never rejects. */
export function readStorageFacts(client: RedisClient): Promise<StorageFacts[]> {
  return Promise.all(mastersOf(client).map(readStorage));
}

async function readStorage(client: Redis): Promise<StorageFacts> {
  const ask = new Questions(client);
  const [info, save] = await Promise.all([ask.reply('INFO'), ask.reply('CONFIG', 'GET', 'save')]);
  const policy = infoField(info, 'maxmemory_policy') ?? (await configValue(ask, 'maxmemory-policy'));
  const appendOnly = infoField(info, 'aof_enabled');
  const snapshots = valueOf(save);
  return withoutAbsent({
    evictionPolicy: policy,
    persistent: appendOnly === '1' ? true : snapshots === undefined ? undefined : snapshots !== '',
    refused: ask.refused,
  });
}

function mastersOf(client: RedisClient): readonly Redis[] {
  return client.isCluster ? (client as Cluster).nodes('master') : [client as Redis];
}

async function configValue(ask: Questions, name: string): Promise<string | undefined> {
  return valueOf(await ask.reply('CONFIG', 'GET', name));
}

/** Second element of a `CONFIG GET` reply, or the only value of its map. */
function valueOf(reply: unknown): string | undefined {
  const values = flat(reply);
  return values.length < 2 ? undefined : String(values[1]);
}

function infoField(info: unknown, name: string): string | undefined {
  return typeof info === 'string' ? new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] : undefined;
}

function parseHello(reply: unknown): { version?: string; mode?: string; role?: string } {
  const values = flat(reply).map((value) => (Array.isArray(value) ? '' : String(value)));
  const pick = (name: string): Record<string, string> => {
    const at = values.indexOf(name);
    return at >= 0 && at % 2 === 0 && values[at + 1] !== undefined ? { [name]: values[at + 1]! } : {};
  };
  return { ...pick('version'), ...pick('mode'), ...pick('role') };
}

/** A reply of names and values as one list, whichever protocol it came by. */
function flat(reply: unknown): readonly unknown[] {
  if (Array.isArray(reply)) return reply;
  if (reply instanceof Map) return [...(reply as Map<unknown, unknown>)].flat();
  return typeof reply === 'object' && reply !== null ? Object.entries(reply).flat() : [];
}

/** Commands whose refusal is an answer too. */
class Questions {
  private readonly codes = new Map<string, string>();

  constructor(private readonly client: RedisClient) {}

  /** Refused commands as `NAME (CODE)`. */
  get refused(): string[] {
    return [...this.codes].map(([command, code]) => `${command} (${code})`);
  }

  codeOf(command: string): string | undefined {
    return this.codes.get(command);
  }

  async reply(command: string, ...args: string[]): Promise<unknown> {
    try {
      return await this.client.call(command, ...args);
    } catch (error) {
      this.codes.set(command, errorCode(error as Error));
      return undefined;
    }
  }

  async rejection(command: string, ...args: string[]): Promise<string> {
    try {
      await this.client.call(command, ...args);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  }
}

/** Drops the properties that have no value. */
function withoutAbsent<T extends object>(
  values: T,
): { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
} {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
