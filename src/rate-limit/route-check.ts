import { Injectable, type OnModuleInit, type Type } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { RoutePlanner } from './route-planner.js';

/**
 * Plans every handler of every controller when the application starts, so that a decorator with an
 * unknown policy ends the start instead of a request.
 *
 * @internal
 */
@Injectable()
export class RouteCheck implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly planner: RoutePlanner,
  ) {}

  /** @throws {ConfigurationError} naming the handler and the unknown policy */
  onModuleInit(): void {
    for (const { metatype } of this.discovery.getControllers()) {
      if (typeof metatype === 'function') this.check(metatype as Type);
    }
  }

  private check(controller: Type): void {
    const prototype = controller.prototype as Record<string, unknown>;
    for (const name of this.scanner.getAllMethodNames(prototype)) {
      const handler = prototype[name];
      if (typeof handler === 'function') this.planner.plan(controller, handler);
    }
  }
}
