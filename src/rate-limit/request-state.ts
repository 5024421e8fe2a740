import type { ExecutionContext } from '@nestjs/common';
import { adapterOf } from './context-adapter.js';
import { executionOf } from './context-graphql.js';
import { mergeDecisions, type RateLimitDecision } from './decision.js';

/** Where a request carries what was decided about it. */
const DECISION = Symbol.for('rednest:rate-limit:decision');
/** Where the context value of a GraphQL request carries what its operations were charged. */
const CHARGES = Symbol.for('rednest:rate-limit:charges');

/** What one execution of an operation was charged, by counter and identity. */
export type OperationCharges = Map<string, Promise<RateLimitDecision | undefined>>;

type Holder = Record<symbol, unknown>;

/** Without an object of its own a request is told apart by its argument list, which its handler does not see. */
function holderOf(context: ExecutionContext): Holder {
  const holder = adapterOf(context)?.holder(context);
  return (holder && Object.isExtensible(holder) ? holder : context.getArgs()) as unknown as Holder;
}

/** What was decided about a request so far; `undefined` when no policy applied. */
export function recall(context: ExecutionContext): RateLimitDecision | undefined {
  return holderOf(context)[DECISION] as RateLimitDecision | undefined;
}

/** Adds a decision to what was decided before, and returns both as one. */
export function remember(context: ExecutionContext, decision: RateLimitDecision): RateLimitDecision {
  const holder = holderOf(context);
  const before = holder[DECISION] as RateLimitDecision | undefined;
  const all = before ? mergeDecisions([before, decision]) : decision;
  holder[DECISION] = all;
  return all;
}

/** What the execution that a resolver belongs to was charged so far. */
export function chargesOf(context: ExecutionContext): OperationCharges {
  const { request, execution } = executionOf(context);
  const holder = request as Record<symbol, WeakMap<object, OperationCharges> | undefined>;
  const executions = (holder[CHARGES] ??= new WeakMap());
  let charges = executions.get(execution);
  if (!charges) executions.set(execution, (charges = new Map()));
  return charges;
}
