import { Logger } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { ConfigurationError } from '../common/index.js';
import { ConnectionRegistry, type DrainRegistry, type KeyspaceRegistry } from '../redis/index.js';
import type { CacheCore } from './cache-core.js';
import { CACHE_KEYSPACES, CacheSpace } from './cache-key.js';
import { CacheLoads } from './cache-loads.js';
import { CacheLog } from './cache-log.js';
import { CacheReads } from './cache-reads.js';
import { CacheRecorder } from './cache-recorder.js';
import { CacheWrites } from './cache-writes.js';
import {
  resolveCodec,
  resolveVersion,
  type CacheNamespaceOptions,
  type ResolvedCacheOptions,
} from './cache.options.js';
import { CacheService, type CacheParts, type CacheViewSettings } from './cache.service.js';
import { Coherence } from './coherence.js';
import { resolveEntryOptions } from './entry.options.js';
import { Flights } from './flights.js';
import { LocalStates } from './local-states.js';
import { MemoryTier } from './memory-tier.js';
import { PendingWrites } from './pending-writes.js';
import { RemoteTier } from './remote-tier.js';
import { ServerIdentity } from './server-identity.js';
import { ValueCodec, type CacheCodec } from './value-codec.js';
import { WriteBehind, type WriteBehindHost, type WriteBehindOptions } from './write-behind.js';
import { WriteThrough } from './write-through.js';

/** Buckets of a namespace on a Cluster. */
const CLUSTER_BUCKETS = 16;

/**
 * Namespaces whose buckets views share. One that falls out, as with a namespace per tenant, is made again
 * when it is asked for, and compared with the server again.
 */
const MAX_SPACES = 1_000;

/** What the factory takes from `RedisModule`. */
export interface CacheSurroundings {
  readonly registry: ConnectionRegistry;
  readonly drain: DrainRegistry;
  readonly keyspaces: KeyspaceRegistry;
}

/** Puts a cache together. */
export function createCache(options: ResolvedCacheOptions, surroundings: CacheSurroundings): CacheService {
  const { registry, drain, keyspaces } = surroundings;
  const logger = new Logger(CacheService.name);
  const core = createCore(options, registry, logger);
  registry.capabilities.declare({ capability: 'cache', connection: options.connection, critical: false });
  drain.register(core.writes);
  for (const keyspace of CACHE_KEYSPACES) keyspaces.register(keyspace);
  const writes = new CacheWrites(core);
  const views = createViews(options, registry);
  const parts: CacheParts = {
    core,
    reads: new CacheReads(core),
    writes,
    loads: new CacheLoads(core),
    writeThrough: new WriteThrough(core, writes),
    view: views,
    writeBehind: (cache, settings) => {
      const buffer = createWriteBehind(cache, settings, logger);
      drain.register(buffer);
      return buffer;
    },
  };
  return new CacheService(parts, views(options.namespace));
}

/**
 * Those who wait for a load of another process are woken by pub/sub, and memory is kept right by tracking.
 *
 * @throws {ConfigurationError} for a Cluster client that the application handed in
 */
function assertCanListen(registry: ConnectionRegistry, connection: string): void {
  const { client, owned } = registry.connection(connection);
  if (owned || !client.isCluster) return;
  throw new ConfigurationError(
    `Connection "${connection}" is a Cluster client of the application, on which the cache cannot hear of ` +
      'changes; configure the nodes with the option "cluster" instead',
  );
}

function createCore(options: ResolvedCacheOptions, registry: ConnectionRegistry, logger: Logger): CacheCore {
  const { connection, namespace } = options;
  assertCanListen(registry, connection);
  const memory = options.memory && new MemoryTier(options.memory);
  const flights = new Flights();
  const states = options.tagCheck === 'local' ? new LocalStates(() => remote) : undefined;
  const listeners = [memory, states].filter((each) => each !== undefined);
  const wakeUps = registry.wakeUps(connection);
  const { coherence: mode } = options;
  const coherence = new Coherence({ mode, connection, registry, listeners, flights, wakeUps });
  const remote: RemoteTier = new RemoteTier({
    connection,
    executor: registry.executor(connection),
    identity: new ServerIdentity(registry.connection(connection)),
    wakeChannel: wakeUps.channel,
    coherence,
  });
  return {
    remote,
    memory,
    states,
    flights,
    wakeUps,
    writes: new PendingWrites(`cache writes (${connection}, ${namespace})`),
    observers: { recorder: new CacheRecorder(), log: new CacheLog(logger) },
  };
}

/** Views by namespace; those of one namespace share its buckets, and what is known about them. */
function createViews(options: ResolvedCacheOptions, registry: ConnectionRegistry) {
  const spaces = new LRUCache<string, CacheSpace>({ max: MAX_SPACES });
  const codecs = new WeakMap<CacheCodec, ValueCodec>();
  const prefix = registry.configuration.keyPrefix;
  const { isCluster } = registry.client(options.connection);
  const buckets = options.buckets ?? (isCluster ? CLUSTER_BUCKETS : 1);
  const valueCodec = (codec: CacheCodec | undefined): ValueCodec =>
    new ValueCodec(codec, options.compression, options.maxDecompressedBytes);
  const ownCodec = valueCodec(options.codec);
  /** One for each codec: copies in memory are told apart by it. */
  const codecOf = (input: CacheCodec | undefined): ValueCodec => {
    const codec = resolveCodec(input);
    if (codec === undefined || codec === options.codec) return ownCodec;
    let known = codecs.get(codec);
    if (!known) codecs.set(codec, (known = valueCodec(codec)));
    return known;
  };
  return (name: string, input?: CacheNamespaceOptions, from?: CacheViewSettings): CacheViewSettings => {
    let space = spaces.get(name);
    if (!space) spaces.set(name, (space = new CacheSpace(prefix, name, buckets)));
    const before = from ?? { view: { codec: ownCodec, version: options.version }, defaults: options.entry };
    const codec = input?.codec === undefined ? before.view.codec : codecOf(input.codec);
    const version = input?.version === undefined ? before.view.version : resolveVersion(input.version);
    return { view: { space, codec, version }, defaults: resolveEntryOptions(input, before.defaults) };
  };
}

function createWriteBehind<T>(
  cache: CacheService,
  options: WriteBehindOptions<T>,
  logger: Logger,
): WriteBehind<T> {
  const host: WriteBehindHost = {
    logger,
    cache: (key, value, settings) => cache.set(key, value as {} | null, settings),
    forget: (keys) => cache.delete(...keys),
  };
  return new WriteBehind(options, host);
}
