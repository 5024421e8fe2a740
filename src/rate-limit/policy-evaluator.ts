import { Inject, Injectable, Logger } from '@nestjs/common';
import { DIAGNOSTICS, DiagnosticsPublisher, type RateLimitDiagnostic } from '../common/index.js';
import {
  ConnectionRegistry,
  DEFAULT_CONNECTION,
  KeyspaceRegistry,
  RedisCallError,
  type RedisExecutor,
} from '../redis/index.js';
import { AvailabilityLog } from './availability-log.js';
import { FALLBACK_DECISION, toDecision, type RateLimitDecision } from './decision.js';
import { assertCall, type ResolvedPolicy } from './policy.js';
import { RateLimitUnavailableError } from './rate-limit.errors.js';
import { SLIDING_KEYSPACE } from './rate-limit.keyspace.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { CONSUME } from './rate-limit.scripts.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';

/** One question to the limiter. */
export interface Evaluation {
  /** Result of `encodeIdentity`. */
  readonly identity: string;
  readonly policies: readonly ResolvedPolicy[];
  readonly cost: number;
  /** `false` looks and counts nothing. */
  readonly commit: boolean;
}

/**
 * Asks Redis about all policies of one identity in one script, and applies `onError` when it does
 * not answer. Shared by the service and the guard.
 *
 * @internal
 */
@Injectable()
export class PolicyEvaluator {
  private readonly executor: RedisExecutor;
  private readonly prefix: string;
  private readonly availability = new AvailabilityLog(new Logger('RateLimiter'));
  private readonly diagnostics = new DiagnosticsPublisher<RateLimitDiagnostic>(DIAGNOSTICS.rateLimit);

  constructor(
    @Inject(RATE_LIMIT_OPTIONS) private readonly options: ResolvedRateLimitOptions,
    registry: ConnectionRegistry,
    keyspaces: KeyspaceRegistry,
  ) {
    this.executor = registry.executor(options.connection);
    this.prefix = registry.configuration.keyPrefix;
    // Limits that fail closed refuse every request without their server.
    const critical = options.onError === 'closed';
    const connection = options.connection ?? DEFAULT_CONNECTION;
    registry.capabilities.declare({ capability: 'rate-limit', connection, critical });
    keyspaces.register(SLIDING_KEYSPACE);
  }

  /**
   * Decides. One round trip.
   *
   * @throws {ConfigurationError} when the call itself cannot be answered, see `assertCall`
   * @throws {RateLimitUnavailableError} when Redis does not answer and a policy is `closed`
   */
  async evaluate(evaluation: Evaluation): Promise<RateLimitDecision> {
    const { identity, policies, cost, commit } = evaluation;
    assertCall(policies, cost);
    const limits = policies.flatMap(({ limit, windowMs }) => [limit, windowMs * 1000]);
    try {
      const reply = await this.executor.script(
        commit ? 'rate-limit.consume' : 'rate-limit.peek',
        CONSUME,
        this.keys(identity, policies),
        [commit ? 1 : 0, cost, ...limits],
        { deadlineMs: this.options.timeoutMs },
      );
      this.availability.succeeded();
      return this.report(evaluation, toDecision(policies, reply));
    } catch (error) {
      return this.report(evaluation, this.fallback(policies, error));
    }
  }

  /**
   * Forgets what the policies counted for an identity. One round trip.
   *
   * @throws {RateLimitUnavailableError} when Redis does not answer
   */
  async reset(identity: string, policies: readonly ResolvedPolicy[]): Promise<void> {
    assertCall(policies, 1);
    const keys = this.keys(identity, policies);
    const { timeoutMs: deadlineMs } = this.options;
    try {
      await this.executor.run('rate-limit.reset', (client) => client.del(...keys), { deadlineMs });
    } catch (error) {
      if (!(error instanceof RedisCallError)) throw error;
      throw unavailable(policies, error);
    }
  }

  private keys(identity: string, policies: readonly ResolvedPolicy[]): string[] {
    return policies.map(({ counter, windowMs }) =>
      SLIDING_KEYSPACE.key(this.prefix, identity, counter, windowMs),
    );
  }

  private fallback(policies: readonly ResolvedPolicy[], error: unknown): RateLimitDecision {
    if (!(error instanceof RedisCallError)) throw error;
    this.availability.failed(error.code);
    if (policies.every(({ onError }) => onError === 'open')) return FALLBACK_DECISION;
    this.publish(policies, 'fallback', () => false);
    throw unavailable(policies, error);
  }

  private report({ policies, commit }: Evaluation, decision: RateLimitDecision): RateLimitDecision {
    if (commit) this.publish(policies, decision.source, (name) => !decision.violated.includes(name));
    return decision;
  }

  private publish(
    policies: readonly ResolvedPolicy[],
    source: RateLimitDecision['source'],
    isAllowed: (policy: string) => boolean,
  ): void {
    for (const { name } of policies) {
      this.diagnostics.publish(() => ({ policy: name, allowed: isAllowed(name), source }));
    }
  }
}

function unavailable(policies: readonly ResolvedPolicy[], cause: RedisCallError): RateLimitUnavailableError {
  return new RateLimitUnavailableError(
    policies.map(({ name }) => name),
    { cause },
  );
}
