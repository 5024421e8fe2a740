import type { ModuleMetadata, Type } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { RedisModule, type RedisModuleOptions } from 'rednest';
import { uniquePrefix } from './prefix.js';
import { TestLog } from './test-log.js';

/** Options of {@link createModule}. */
export interface TestModuleInit extends Pick<ModuleMetadata, 'imports' | 'providers' | 'controllers'> {
  redis: RedisModuleOptions & { url?: string };
}

/** A module with `RedisModule` under a key prefix of its own, initialised. Close it in the test. */
export async function createModule(init: TestModuleInit): Promise<TestingModule> {
  const { redis, imports = [], ...rest } = init;
  const module = await Test.createTestingModule({
    imports: [
      RedisModule.forRoot({ app: uniquePrefix(), env: {}, logger: new TestLog(), ...redis }),
      ...imports,
    ],
    ...rest,
  }).compile();
  try {
    return await module.init();
  } catch (error) {
    await module.close();
    throw error;
  }
}

/** Injects by class or token with a type. */
export function inject<T>(
  module: TestingModule,
  token: Type<T> | symbol | (abstract new (...args: never[]) => T),
): T {
  return module.get<T>(token, { strict: false });
}
