import { Inject, Injectable, type ExecutionContext } from '@nestjs/common';
import { adapterOf } from './context-adapter.js';
import { objectOf } from './context-values.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import { RateLimitReceipt, type ReceiptEntry } from './receipt.js';
import { recall } from './request-state.js';
import type { RoutePlan } from './route-plan.js';

/** First status that is a failure. */
const FIRST_FAILURE = 400;

/**
 * Gives back what a request took, when its outcome says so.
 *
 * @internal
 */
@Injectable()
export class RequestOutcomes {
  constructor(@Inject(PolicyEvaluator) private readonly evaluator: PolicyEvaluator) {}

  /** The handler has ended: policies that count the other outcome only get back what they gave. */
  async settle(context: ExecutionContext, { countOnly }: RoutePlan, failed: boolean): Promise<void> {
    if (countOnly.size === 0) return;
    const outcome = failed || statusOf(context) >= FIRST_FAILURE ? 'failures' : 'successes';
    await this.giveBack(context, (policy) => (countOnly.get(policy) ?? outcome) !== outcome);
  }

  /** Gives back what the policies that are chosen took of a request. */
  async giveBack(context: ExecutionContext, isChosen: (policy: string) => boolean): Promise<void> {
    const receipt = recall(context)?.receipt;
    if (!receipt?.isOpen) return;
    // Whatever is not given back now never is.
    const parts = receipt.redeem().flatMap((entry) => partOf(entry, isChosen) ?? []);
    await Promise.all(parts.map((part) => this.evaluator.refund(part)));
  }
}

function statusOf(context: ExecutionContext): number {
  if (context.getType() !== 'http') return 0;
  const status = objectOf(adapterOf(context)?.response(context))?.['statusCode'];
  return typeof status === 'number' ? status : 0;
}

/** A receipt for some of the demands; policies of one demand count the same outcome. */
function partOf(
  { demands, reply, source }: ReceiptEntry,
  isChosen: (policy: string) => boolean,
): RateLimitReceipt | undefined {
  const part: number[] = [reply[0]!, reply[1]!];
  let from = 2;
  const chosen = demands.filter(({ set }) => {
    const to = from + set.policies.length * 3;
    const isWanted = isChosen(set.policies[0]!.name);
    if (isWanted) part.push(...reply.slice(from, to));
    from = to;
    return isWanted;
  });
  return chosen.length === 0 ? undefined : new RateLimitReceipt(chosen, part, source);
}
