import { Inject, Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { resolveDuration, systemClock } from '../common/index.js';
import {
  ConnectionRegistry,
  RedisCallError,
  type RedisExecutor,
  type WakeUpListener,
} from '../redis/index.js';
import {
  resolveConcurrency,
  type ConcurrencyOptions,
  type ConcurrencyPolicy,
  type ConcurrencySlot,
  type ResolvedConcurrency,
} from './concurrency.js';
import { HeldSlot } from './held-slot.js';
import { encodeIdentity, type RateLimitId } from './identity.js';
import { LocalSlots } from './local/local-slots.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import { ConcurrencyExceededError, RateLimitUnavailableError } from './rate-limit.errors.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { HOLD_SLOT, RELEASE_SLOT } from './rate-limit.scripts.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';

/** How long a slot that nobody holds is worth asking about; a frozen server answers late. */
const LONGEST_DISOWN_MS = 30_000;

/** Whether a slot was granted, by whom, and when the next one comes free at the latest. */
interface Grant {
  readonly source: ConcurrencySlot['source'];
  readonly granted: boolean;
  readonly freeInMs: number;
}

/** Where a slot is kept. */
interface Place {
  readonly key: string;
  readonly token: string;
  readonly policy: ResolvedConcurrency;
}

/**
 * Slots that are leased: taken, renewed while they are held, free again when their holder is gone.
 *
 * @internal
 */
@Injectable()
export class ConcurrencyLimiter {
  private readonly policies = new WeakMap<ConcurrencyPolicy, ResolvedConcurrency>();
  private readonly local = new LocalSlots(() => systemClock.monotonicMs());

  constructor(
    @Inject(RATE_LIMIT_OPTIONS) private readonly options: ResolvedRateLimitOptions,
    private readonly evaluator: PolicyEvaluator,
    private readonly registry: ConnectionRegistry,
  ) {}

  /** @throws as `RateLimiter.concurrency` */
  async acquire(
    id: RateLimitId,
    policy: ConcurrencyPolicy,
    { maxWait = 0, signal }: ConcurrencyOptions = {},
  ): Promise<ConcurrencySlot> {
    const resolved = this.resolve(policy);
    const key = `${this.evaluator.keyStart}${encodeIdentity(id)}${resolved.keySuffix}`;
    const token = `${randomBytes(12).toString('base64url')}:${resolved.leaseMs * 1000}`;
    const place: Place = { key, token, policy: resolved };
    const maxWaitMs = resolveDuration(maxWait, 'maxWait', { minMs: 0, maxMs: 86_400_000 });
    const grant = await this.grant(place, maxWaitMs, signal);
    return new HeldSlot({
      policy: resolved,
      source: grant.source,
      renew: () => this.renew(place, grant.source),
      release: () => this.release(place, grant.source),
    });
  }

  private resolve(policy: ConcurrencyPolicy): ResolvedConcurrency {
    let resolved = this.policies.get(policy);
    if (!resolved) {
      this.policies.set(policy, (resolved = resolveConcurrency(policy, this.options.onError)));
    }
    return resolved;
  }

  private async grant(place: Place, maxWaitMs: number, signal?: AbortSignal): Promise<Grant> {
    signal?.throwIfAborted();
    const first = await this.hold(place);
    if (first.granted) return first;
    const { name, limit } = place.policy;
    if (maxWaitMs === 0) throw new ConcurrencyExceededError(name, limit, first.freeInMs);
    const listener = this.registry.wakeUps(this.options.connection).listen(place.key);
    try {
      return await this.grantLater(place, listener, performance.now() + maxWaitMs, signal);
    } finally {
      listener.close();
    }
  }

  /** Asks whenever a slot came free, or a lease must have ended. */
  private async grantLater(
    place: Place,
    listener: WakeUpListener,
    endsAtMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Grant> {
    for (;;) {
      const grant = await this.hold(place);
      if (grant.granted) return grant;
      const restMs = endsAtMs - performance.now();
      if (restMs <= 0) {
        const { name, limit } = place.policy;
        throw new ConcurrencyExceededError(name, limit, grant.freeInMs);
      }
      await listener.wait({ deadlineMs: Math.max(1, Math.min(restMs, grant.freeInMs)), signal });
      signal?.throwIfAborted();
    }
  }

  private async hold(place: Place): Promise<Grant> {
    const { key, token, policy } = place;
    const { limit, leaseMs, onError, name } = policy;
    let isAsked = false;
    const reply = await this.evaluator.ask((executor, options) => {
      isAsked = true;
      return executor.script('rate-limit.hold-slot', HOLD_SLOT, [key], [token, limit, leaseMs * 1000], {
        ...options,
        idempotent: true,
      });
    });
    // It may be granted later; nobody would hold it.
    if (isAsked && reply instanceof RedisCallError && reply.outcome === 'unknown') void this.disown(place);
    if (!(reply instanceof RedisCallError)) {
      return { source: 'redis', granted: reply[0] === 1, freeInMs: Math.ceil((reply[2] ?? 0) / 1000) };
    }
    if (onError === 'closed') throw new RateLimitUnavailableError([name], { cause: reply });
    if (onError === 'open') return { source: 'open', granted: true, freeInMs: 0 };
    const share = Math.max(1, Math.floor(limit / this.options.instances));
    return { source: 'local', ...this.local.hold(key, token, share, leaseMs) };
  }

  /** `undefined`: not known. */
  private async renew({ key, token, policy }: Place, source: Grant['source']): Promise<boolean | undefined> {
    const { limit, leaseMs } = policy;
    if (source === 'open') return true;
    if (source === 'local') return this.local.hold(key, token, limit, leaseMs).granted;
    const reply = await this.evaluator.ask((executor, options) =>
      executor.script('rate-limit.renew-slot', HOLD_SLOT, [key], [token, limit, leaseMs * 1000], {
        ...options,
        idempotent: true,
      }),
    );
    return reply instanceof RedisCallError ? undefined : reply[0] === 1;
  }

  private async release(place: Place, source: Grant['source']): Promise<void> {
    if (source === 'local') this.local.release(place.key, place.token);
    if (source !== 'redis') return;
    await this.evaluator.ask((executor, { deadlineMs }) => this.giveBack(executor, place, deadlineMs));
  }

  /** Gives a slot back that may have been granted, with more patience than a caller has. Nobody waits for it. */
  private async disown(place: Place): Promise<void> {
    const deadlineMs = Math.min(place.policy.leaseMs, LONGEST_DISOWN_MS);
    try {
      await this.giveBack(this.registry.executor(this.options.connection), place, deadlineMs);
    } catch (error) {
      if (!(error instanceof RedisCallError)) throw error;
      // The slot comes free with the end of its lease.
    }
  }

  private giveBack(executor: RedisExecutor, place: Place, deadlineMs: number): Promise<number> {
    const { key, token, policy } = place;
    const { channel } = this.registry.wakeUps(this.options.connection);
    const args = [token, policy.limit, channel, key] as const;
    return executor.script('rate-limit.release-slot', RELEASE_SLOT, [key], [...args], {
      deadlineMs,
      idempotent: true,
    });
  }
}
