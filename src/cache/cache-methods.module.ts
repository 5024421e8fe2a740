import { Module, type NestModule, type OnModuleInit } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { MethodExplorer } from './method-explorer.js';

/**
 * Makes `@Cacheable`, `@CachePut`, `@CacheEvict` and `@Caching` work. `CacheModule` brings it; importing it again
 * changes nothing.
 *
 * Nest takes the handlers of controllers before `onModuleInit`, and asks for middleware before that; a
 * module without HTTP is not asked, so both hooks are used. The second finds nothing left to do.
 */
@Module({ imports: [DiscoveryModule], providers: [MethodExplorer] })
export class CacheMethodsModule implements NestModule, OnModuleInit {
  constructor(private readonly explorer: MethodExplorer) {}

  /** Called when Nest asks for middleware; there is none. @internal */
  configure(): void {
    this.explorer.explore();
  }

  onModuleInit(): void {
    this.explorer.explore();
  }
}
