import { DIAGNOSTICS, DiagnosticsPublisher, type RateLimitDiagnostic } from '../common/index.js';
import type { Demand, RateLimitDecision } from './decision.js';
import type { EvaluationMode } from './local/local-limiter.js';

/**
 * Publishes decisions to the diagnostics channel, one message per policy, without identities. Costs
 * nothing while nobody listens.
 *
 * @internal
 */
export class DecisionReporter {
  private readonly diagnostics = new DiagnosticsPublisher<RateLimitDiagnostic>(DIAGNOSTICS.rateLimit);

  /** Publishes a decision and passes it on. Looking is none. */
  report(mode: EvaluationMode, demands: readonly Demand[], decision: RateLimitDecision): RateLimitDecision {
    if (this.diagnostics.isHeard && mode !== 'peek')
      this.publish(demands, (name) => toMessage(decision, name));
    return decision;
  }

  /** Publishes that nobody decided and a policy is `closed`. */
  reportClosed(demands: readonly Demand[]): void {
    this.publish(demands, () => ({ allowed: false, shadow: false, source: 'closed' }));
  }

  private publish(
    demands: readonly Demand[],
    message: (policy: string) => Omit<RateLimitDiagnostic, 'policy'>,
  ): void {
    for (const { set } of demands) {
      for (const { name } of set.policies) {
        this.diagnostics.publish(() => ({ policy: name, ...message(name) }));
      }
    }
  }
}

function toMessage(decision: RateLimitDecision, name: string): Omit<RateLimitDiagnostic, 'policy'> {
  const { source, policies, violated, shadowed } = decision;
  const state = policies.find((policy) => policy.name === name);
  const shadow = shadowed.includes(name);
  return {
    allowed: !violated.includes(name) && !shadow,
    shadow,
    // What is left out of a local decision is open.
    source: source === 'local' && !state ? 'open' : source,
    ...(state ? { limit: state.limit, remaining: state.remaining } : {}),
  };
}
