import { isRednestError } from '../common/index.js';
import type { CacheLogger } from './cache-log.js';
import type { MethodOperation, MethodPlan, MethodPlace } from './method-operation.js';

/** A decorator that stands on a method, ready to be applied. */
export interface PlannedOperation extends MethodOperation {
  readonly plan: MethodPlan;
}

/** A method as the decorators leave it. */
export type MethodCall = (args: readonly unknown[]) => Promise<unknown>;

/**
 * The method with what its decorators say around it. Evictions are outermost, so that one after the call
 * also removes what a decorator further in has written.
 */
export function cachedMethod(
  place: MethodPlace,
  operations: readonly PlannedOperation[],
  logger: CacheLogger,
): MethodCall {
  const method: MethodCall = async (args) => place.method.apply(place.instance, [...args]);
  const inner = operations.filter(({ kind }) => kind !== 'evict');
  const outer = operations.filter(({ kind }) => kind === 'evict');
  return [...outer, ...inner].reduceRight<MethodCall>((next, operation) => {
    const call = LAYERS[operation.kind](operation, next, { where: place.where, logger });
    return async (args) => (operation.plan.applies(args) ? call(args) : next(args));
  }, method);
}

interface LayerContext {
  readonly where: string;
  readonly logger: CacheLogger;
}

type Layer = (operation: PlannedOperation, next: MethodCall, context: LayerContext) => MethodCall;

const cacheable: Layer = ({ plan }, next) => {
  return (args) =>
    plan.cache.getOrSet(
      plan.key(args),
      async (context) => {
        const result = await next(args);
        const isUnwanted = result !== undefined && plan.isUnwanted(result, args);
        return isUnwanted ? context.skip(result) : result;
      },
      plan.entryOptions(args),
    );
};

/** Thrown through `writeThrough`, so that it leaves no entry behind. */
class Unkept extends Error {
  override readonly name = 'Unkept';

  constructor(readonly result: unknown) {
    super('The result is not kept');
  }
}

const put: Layer = ({ plan }, next, { where, logger }) => {
  let hasWarned = false;
  return async (args) => {
    let written: { result: unknown } | undefined;
    const writer = async (): Promise<{} | null> => {
      const result = await next(args);
      if (result === undefined || plan.isUnwanted(result, args)) throw new Unkept(result);
      written = { result };
      return result;
    };
    try {
      return await plan.cache.writeThrough<{} | null>(plan.key(args), null, writer, plan.entryOptions(args));
    } catch (error) {
      if (error instanceof Unkept) return error.result;
      if (!written || !isRednestError(error, 'ERR_CACHE_ENCODE')) throw error;
      // The method has done its work; a caller who is told otherwise would do it again.
      if (!hasWarned) logger.warn(`The result of ${where} is not kept: ${error.message}`);
      hasWarned = true;
      return written.result;
    }
  };
};

const evict: Layer = ({ plan, options }, next) => {
  const remove = async (args: readonly unknown[]): Promise<void> => {
    const tags = plan.tags(args);
    await Promise.all([
      options.key === undefined ? undefined : plan.cache.delete(plan.key(args)),
      tags.length === 0 ? undefined : plan.cache.deleteByTag(...tags),
      options.allEntries ? plan.cache.clear() : undefined,
    ]);
  };
  return async (args) => {
    if (options.beforeInvocation) await remove(args);
    const result = await next(args);
    if (!options.beforeInvocation) await remove(args);
    return result;
  };
};

const LAYERS: Readonly<Record<MethodOperation['kind'], Layer>> = Object.freeze({ cacheable, put, evict });
