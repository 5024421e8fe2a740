import { Inject, Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import {
  AbortSignals,
  ConnectionRegistry,
  DEFAULT_CONNECTION,
  groupBySlot,
  KeyspaceRegistry,
  RedisCallError,
  RedisUnavailableError,
  slotOf,
  type RedisExecutor,
} from '../redis/index.js';
import { AvailabilityLog } from './availability-log.js';
import { mergeDecisions, toDecision, type Demand, type RateLimitDecision } from './decision.js';
import { DecisionReporter } from './decision-reporter.js';
import { DenyCache } from './deny-cache.js';
import { DenyInvalidation } from './deny-invalidation.js';
import { Ending } from './ending.js';
import type { Change, EvaluationMode } from './local/local-limiter.js';
import { RATE_LIMIT_KEYSPACES } from './rate-limit.keyspace.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { ADJUST, CONSUME } from './rate-limit.scripts.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import type { RateLimitReceipt, ReceiptEntry } from './receipt.js';
import { RedisGate } from './redis-gate.js';
import { adjustArguments, adjustKeys, consumeArguments, keysOf } from './script-arguments.js';
import { WithoutRedis } from './without-redis.js';

const OPERATIONS: Readonly<Record<EvaluationMode, string>> = {
  consume: 'rate-limit.consume',
  peek: 'rate-limit.peek',
  reserve: 'rate-limit.reserve',
};

/** Changes after which there is no more room than before. */
const TAKES: ReadonlySet<Change['kind']> = new Set(['penalize', 'block', 'pause']);

/**
 * Asks Redis about policies in one script, remembers refusals, and applies `onError` when there is no
 * answer. Shared by everything in this folder that counts.
 *
 * @internal
 */
@Injectable()
export class PolicyEvaluator implements BeforeApplicationShutdown {
  private readonly connection: string;
  private readonly executor: RedisExecutor;
  private readonly prefix: string;
  private readonly withoutRedis: WithoutRedis;
  private readonly gate: RedisGate;
  private readonly denials: DenyCache | undefined;
  private readonly invalidation: DenyInvalidation | undefined;
  private readonly isCluster: boolean;
  private readonly reporter = new DecisionReporter();
  private readonly stop = new AbortController();
  private readonly signals = new AbortSignals();
  /** One object for all calls. */
  private readonly callOptions: { readonly deadlineMs: number };

  constructor(
    @Inject(RATE_LIMIT_OPTIONS) options: ResolvedRateLimitOptions,
    registry: ConnectionRegistry,
    keyspaces: KeyspaceRegistry,
  ) {
    this.connection = options.connection ?? DEFAULT_CONNECTION;
    this.executor = registry.executor(options.connection);
    const { client, owned } = registry.connection(options.connection);
    this.isCluster = client.isCluster;
    this.prefix = `${registry.configuration.keyPrefix}:rl:{`;
    this.callOptions = { deadlineMs: options.timeoutMs };
    this.withoutRedis = new WithoutRedis(options, this.reporter);
    this.gate = new RedisGate(
      this.executor,
      new AvailabilityLog(new Logger('RateLimiter')),
      options.timeoutMs,
    );
    const { denyCache } = options;
    if (denyCache) {
      this.denials = new DenyCache(denyCache);
      const channel = `${registry.configuration.keyPrefix}:rl:forget`;
      // Nobody can listen on a Cluster client of the application.
      if (denyCache.invalidate && (owned || !client.isCluster)) {
        this.invalidation = new DenyInvalidation(
          () => registry.subscriber(options.connection),
          channel,
          this.denials,
        );
      }
    }
    // Limits that fail closed refuse every request without their server.
    const critical = options.onError === 'closed';
    const connection = options.connection ?? DEFAULT_CONNECTION;
    registry.capabilities.declare({ capability: 'rate-limit', connection, critical });
    for (const keyspace of RATE_LIMIT_KEYSPACES) keyspaces.register(keyspace);
  }

  /** Handlers have drained: whoever still waits for room waits in vain. */
  beforeApplicationShutdown(): void {
    const context = {
      connection: this.connection,
      operation: 'rate-limit.wait',
      outcome: 'not-sent',
    } as const;
    this.stop.abort(new RedisUnavailableError('the application stops', context));
  }

  /** What ends a wait for room: the caller's signal, and the end of the application. */
  endingOf(signal: AbortSignal | undefined): Ending {
    return new Ending(this.signals, signal ? [signal, this.stop.signal] : [this.stop.signal]);
  }

  /** Milliseconds since this process decides without Redis; 0 while Redis decides. */
  get awayForMs(): number {
    return this.gate.awayForMs;
  }

  /**
   * Decides about all demands together: all are counted or none. One round trip, or none when a refusal
   * is remembered.
   *
   * Not so on a Cluster when the identities live in different slots: those are asked one after the other,
   * and what the earlier ones took is given back when a later one refuses.
   *
   * @param maxWaitUs how far ahead a reservation may lie
   * @throws {RateLimitUnavailableError} when Redis does not answer and a policy is `closed`
   */
  evaluate(mode: EvaluationMode, demands: readonly Demand[], maxWaitUs = 0): Promise<RateLimitDecision> {
    if (demands.length > 1 && this.isCluster) return this.evaluateBySlot(mode, demands, maxWaitUs);
    return this.evaluateTogether(mode, demands, maxWaitUs);
  }

  /**
   * Changes counters and tells how they stand. One round trip.
   *
   * @throws {RateLimitUnavailableError} as {@link evaluate}; for `reset` whatever `onError` says, because the
   * counters may still be there
   */
  async adjust(change: Change, demand: Demand): Promise<RateLimitDecision> {
    const demands = [demand];
    if (change.kind === 'reset') this.withoutRedis.change(change, demands);
    const closedBy = this.gate.closedBy;
    if (closedBy) return this.withoutRedis.adjust(change, demands, closedBy);
    try {
      const reply = await this.sendChange(change, demands);
      return toDecision(demands, reply, 'redis', false);
    } catch (error) {
      return this.withoutRedis.adjust(change, demands, this.failure(error));
    }
  }

  /**
   * Gives back what a receipt stands for, as far as it is still counted. One round trip, never repeated.
   *
   * @returns whether that was done; `false` when the receipt was used before or Redis does not answer
   */
  async refund(receipt: RateLimitReceipt): Promise<boolean> {
    const entries = receipt.redeem();
    const done = await Promise.all(entries.map((entry) => this.refundEntry(entry)));
    return entries.length > 0 && done.every(Boolean);
  }

  /** Runs a call under the limiter's deadline and gate. Gives the error when Redis does not answer. */
  async ask<T>(
    call: (executor: RedisExecutor, options: { deadlineMs: number }) => Promise<T>,
  ): Promise<T | RedisCallError> {
    const closedBy = this.gate.closedBy;
    if (closedBy) return closedBy;
    try {
      const value = await call(this.executor, this.callOptions);
      this.gate.succeeded();
      return value;
    } catch (error) {
      return this.failure(error);
    }
  }

  /** The part of a key before the escaped identity. */
  get keyStart(): string {
    return this.prefix;
  }

  private evaluateTogether(
    mode: EvaluationMode,
    demands: readonly Demand[],
    maxWaitUs: number,
  ): Promise<RateLimitDecision> {
    // A reservation may fit where a request does not.
    const denied = mode === 'consume' ? this.denials?.find(demands) : undefined;
    if (denied) return Promise.resolve(this.reporter.report(mode, demands, denied));
    const closedBy = this.gate.closedBy;
    if (closedBy) return this.settleLocally(mode, demands, maxWaitUs, closedBy);
    return this.executor
      .script(
        OPERATIONS[mode],
        CONSUME,
        keysOf(this.prefix, demands),
        consumeArguments(mode, maxWaitUs, demands),
        this.callOptions,
      )
      .then(
        (reply) => this.onReply(mode, demands, reply),
        (error: unknown) => this.withoutRedis.evaluate(mode, demands, maxWaitUs, this.failure(error)),
      );
  }

  private onReply(mode: EvaluationMode, demands: readonly Demand[], reply: number[]): RateLimitDecision {
    this.gate.succeeded();
    const decision = toDecision(demands, reply, 'redis', mode !== 'peek');
    if (!decision.allowed && mode === 'consume' && this.denials) {
      this.denials.remember(demands, decision);
      this.invalidation?.start();
    }
    return this.reporter.report(mode, demands, decision);
  }

  private async evaluateBySlot(
    mode: EvaluationMode,
    demands: readonly Demand[],
    maxWaitUs: number,
  ): Promise<RateLimitDecision> {
    const keys = demands.map(({ identity }) => `${this.prefix}${identity}}`);
    const slots = [...groupBySlot(keys).keys()];
    const decisions: RateLimitDecision[] = [];
    try {
      for (const slot of slots) {
        const group = demands.filter((_, index) => slotOf(keys[index]!) === slot);
        const decision = await this.evaluateTogether(mode, group, maxWaitUs);
        decisions.push(decision);
        if (!decision.allowed) break;
      }
    } catch (error) {
      await this.giveBack(decisions);
      throw error;
    }
    if (!decisions.at(-1)!.allowed) await this.giveBack(decisions);
    return mergeDecisions(decisions);
  }

  private async giveBack(decisions: readonly RateLimitDecision[]): Promise<void> {
    const receipts = decisions.flatMap(({ receipt }) => receipt ?? []);
    await Promise.all(receipts.map((receipt) => this.refund(receipt)));
  }

  /** What went wrong, for those who decide without Redis. */
  private failure(error: unknown): RedisCallError {
    if (!(error instanceof RedisCallError)) throw error;
    this.gate.failed(error);
    return error;
  }

  private settleLocally(
    mode: EvaluationMode,
    demands: readonly Demand[],
    maxWaitUs: number,
    cause: RedisCallError,
  ): Promise<RateLimitDecision> {
    this.gate.skipped();
    try {
      return Promise.resolve(this.withoutRedis.evaluate(mode, demands, maxWaitUs, cause));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private async refundEntry({ demands, reply, source }: ReceiptEntry): Promise<boolean> {
    const change: Change = { kind: 'refund', reply };
    if (source === 'local') {
      this.withoutRedis.change(change, demands);
      return true;
    }
    if (this.gate.closedBy) return false;
    try {
      await this.sendChange(change, demands);
      return true;
    } catch (error) {
      this.failure(error);
      return false;
    }
  }

  private async sendChange(change: Change, demands: readonly Demand[]): Promise<number[]> {
    const channel = this.denials && !TAKES.has(change.kind) ? this.channel : '';
    const reply = await this.executor.script(
      `rate-limit.${change.kind}`,
      ADJUST,
      adjustKeys(change, this.prefix, demands),
      adjustArguments(change, channel, demands),
      this.callOptions,
    );
    this.gate.succeeded();
    for (const { identity } of demands) this.denials?.forget(identity);
    return reply;
  }

  private get channel(): string {
    return this.invalidation?.channel ?? '';
  }
}
