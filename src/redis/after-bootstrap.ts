import type { ModulesContainer } from '@nestjs/core';

type Bootstrappable = { onApplicationBootstrap?: () => unknown };

/**
 * Runs `callback` after the `onApplicationBootstrap` hooks of every module. Nest calls the hooks
 * module by module, global modules first, so a hook of our own would run too early: the callback is
 * appended to the hook of the module that comes last. Call it in `onModuleInit`.
 */
export function afterBootstrap(modules: ModulesContainer, callback: () => void | Promise<void>): void {
  const last = [...modules.values()].sort((a, b) => b.distance - a.distance).at(-1);
  const host = last?.instance as Bootstrappable | undefined;
  if (!host) throw new Error('afterBootstrap found no module; call it in onModuleInit');
  const original = host.onApplicationBootstrap?.bind(host);
  host.onApplicationBootstrap = async () => {
    await original?.();
    await callback();
  };
}
