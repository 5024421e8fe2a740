import {
  ConfigurableModuleBuilder,
  Global,
  Inject,
  Logger,
  Module,
  Optional,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { DIAGNOSTICS, DiagnosticsPublisher, type ShutdownDiagnostic } from '../common/index.js';
import type { RednestConfiguration } from '../config/index.js';
import { ConnectionRegistry } from './connection-registry.js';
import { DeadlineQueue } from './deadline-queue.js';
import { DrainRegistry } from './drain-registry.js';
import { HttpDrain } from './http-drain.js';
import { KeyspaceRegistry } from './keyspace.js';
import { RedisOperations } from './operations.js';
import type { RedisModuleOptions } from './redis.options.js';
import { DEFAULT_CONNECTION, getRedisToken, REDIS, REDIS_CONFIGURATION } from './redis.tokens.js';
import { startServers, type StartedServers } from './start-servers.js';

/** Settings of the module itself, needed before its options are known. */
export interface RedisModuleExtras {
  /**
   * Names of further connections to provide by token. Taken from `connections` in `forRoot`; with
   * `forRootAsync` they must be listed, because tokens exist before the factory has run.
   */
  connectionNames?: readonly string[];
}

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RedisModuleOptions>({
    optionsInjectionToken: Symbol.for('rednest:redis:options'),
  })
    .setClassMethodName('forRoot')
    .setExtras<RedisModuleExtras>({}, (definition, { connectionNames = [] }) => ({
      ...definition,
      providers: [...(definition.providers ?? []), ...connectionNames.map(namedClient)],
      exports: [...(definition.exports ?? []), ...connectionNames.map((name) => getRedisToken(name))],
    }))
    .build();

const STARTED = Symbol.for('rednest:redis:started');

/** Shares of the shutdown budget: handlers, open HTTP requests, connections. */
const SHARES = Object.freeze({ handlers: 0.8, http: 0.12, connections: 0.08 });

function namedClient(name: string): Provider {
  return {
    provide: getRedisToken(name),
    useFactory: (registry: ConnectionRegistry) => registry.boot(name),
    inject: [ConnectionRegistry],
  };
}

/**
 * Global module: provides the shared client ({@link REDIS}), further clients by name, the
 * {@link ConnectionRegistry}, and the ordered shutdown of everything that uses them.
 *
 * Start waits until the server is ready, at most `bootTimeout` (10 s), and fails with the cause; the
 * option `boot` chooses otherwise.
 *
 * @example
 * `@Module({ imports: [RedisModule.forRoot({ app: 'shop' })] })`
 */
@Global()
@Module({
  providers: [
    {
      provide: STARTED,
      useFactory: (options: RedisModuleOptions) => startServers(options),
      inject: [MODULE_OPTIONS_TOKEN],
    },
    {
      provide: REDIS_CONFIGURATION,
      useFactory: ({ configuration }: StartedServers) => configuration,
      inject: [STARTED],
    },
    {
      provide: ConnectionRegistry,
      useFactory: (started: StartedServers, options: RedisModuleOptions) => createRegistry(started, options),
      inject: [STARTED, MODULE_OPTIONS_TOKEN],
    },
    {
      provide: DrainRegistry,
      useFactory: ({ shutdownTimeoutMs }: RednestConfiguration) =>
        new DrainRegistry(shutdownTimeoutMs * SHARES.handlers),
      inject: [REDIS_CONFIGURATION],
    },
    {
      provide: RedisOperations,
      useFactory: (registry: ConnectionRegistry) => registry.operations(),
      inject: [ConnectionRegistry],
    },
    KeyspaceRegistry,
    namedClient(DEFAULT_CONNECTION),
  ],
  exports: [REDIS, REDIS_CONFIGURATION, ConnectionRegistry, DrainRegistry, KeyspaceRegistry, RedisOperations],
})
export class RedisModule
  extends ConfigurableModuleClass
  implements OnModuleInit, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  private readonly diagnostics = new DiagnosticsPublisher<ShutdownDiagnostic>(DIAGNOSTICS.shutdown);
  private readonly http = new HttpDrain();

  constructor(
    private readonly registry: ConnectionRegistry,
    private readonly drain: DrainRegistry,
    @Optional() @Inject(HttpAdapterHost) private readonly adapterHost?: HttpAdapterHost,
  ) {
    super();
  }

  /** Registers the module; what the options leave out comes from the environment. */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    const connectionNames = options.connectionNames ?? Object.keys(options.connections ?? {});
    return super.forRoot({ ...options, connectionNames });
  }

  /** Registers the module with options from a factory, class or existing provider. */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }

  /**
   * All capabilities exist and have declared what they need: their servers are checked.
   *
   * @throws {RedisBootError} when production would lose data
   */
  async onModuleInit(): Promise<void> {
    await this.registry.verify();
  }

  /** Shutdown begins here, unless a provider that hosts handlers began it before. */
  async onModuleDestroy(): Promise<void> {
    await this.drain.begin();
  }

  /** Nest stops the HTTP server next; requests that do not end in their share of time are cut. */
  beforeApplicationShutdown(): void {
    this.http.begin(this.adapterHost, this.registry.configuration.shutdownTimeoutMs * SHARES.http);
  }

  /** HTTP and workers have drained: the connections end. */
  async onApplicationShutdown(): Promise<void> {
    this.http.end();
    const startedMs = performance.now();
    const budgetMs = this.registry.configuration.shutdownTimeoutMs * SHARES.connections;
    await this.registry.close(Math.min(1000, budgetMs));
    this.diagnostics.publish(() => ({
      phase: 'connections-closed',
      elapsedMs: Math.round(performance.now() - startedMs),
    }));
  }
}

async function createRegistry(
  started: StartedServers,
  options: RedisModuleOptions,
): Promise<ConnectionRegistry> {
  const { configuration, server } = started;
  const logger = options.logger ?? new Logger('Redis');
  for (const warning of configuration.warnings) logger.warn(warning);
  const registry = new ConnectionRegistry({
    configuration,
    ...(server ? { server } : {}),
    ...(options.client ? { client: options.client } : {}),
    context: {
      app: configuration.app,
      logger,
      logFormat: options.logFormat ?? (configuration.environment === 'production' ? 'json' : 'pretty'),
      deadlines: new DeadlineQueue(),
      lazy: configuration.bootMode === 'lazy',
    },
  });
  await registry.prepare();
  return registry;
}
