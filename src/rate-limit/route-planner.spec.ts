import { describe, expect, it } from '@jest/globals';
import { Reflector } from '@nestjs/core';
import { RateLimit, SkipRateLimit } from './rate-limit.decorators.js';
import { resolveRateLimitOptions } from './rate-limit.options.js';
import { RoutePlanner } from './route-planner.js';

const policy = (name: string, limit = 10) => ({ name, limit, window: '1m' }) as const;

const planner = new RoutePlanner(
  resolveRateLimitOptions({
    policies: [policy('named')],
    defaultPolicies: [policy('default'), policy('second')],
  }),
  new Reflector(),
);

class Plain {
  open(): void {}
  @SkipRateLimit()
  exempt(): void {}
  @SkipRateLimit('default')
  partly(): void {}
  @RateLimit(policy('own', 3), 'named')
  limited(): void {}
  @RateLimit(policy('first'))
  @RateLimit(policy('second'))
  stacked(): void {}
  @RateLimit('unknown')
  wrong(): void {}
}

@RateLimit(policy('shared'), 'named')
class Limited {
  inherits(): void {}
  @RateLimit(policy('shared', 2), policy('extra'))
  adds(): void {}
  @RateLimit({ ...policy('everywhere'), scope: 'global' })
  global(): void {}
  @SkipRateLimit('shared')
  without(): void {}
}

@SkipRateLimit()
class Exempt {
  open(): void {}
  @RateLimit('named')
  limited(): void {}
}

type Handlers<T> = { [K in keyof T]: () => void };

function counters<T extends object>(type: new () => T, method: keyof T & string): string[] {
  const handler = (type.prototype as Handlers<T>)[method];
  return planner.plan(type, handler).map(({ policy: { counter, limit } }) => `${counter}=${limit}`);
}

describe('RoutePlanner', () => {
  it('applies the defaults where nothing is declared', () => {
    expect(counters(Plain, 'open')).toEqual(['default=10', 'second=10']);
  });

  it('leaves out what is skipped', () => {
    expect(counters(Plain, 'exempt')).toEqual([]);
    expect(counters(Plain, 'partly')).toEqual(['second=10']);
    expect(counters(Exempt, 'open')).toEqual([]);
    expect(counters(Limited, 'without')).toEqual(['named=10']);
  });

  it('replaces the defaults by what a method declares, also under a skip on the class', () => {
    expect(counters(Plain, 'limited')).toEqual(['Plain.limited/own=3', 'named=10']);
    expect(counters(Exempt, 'limited')).toEqual(['named=10']);
  });

  it('adds class and method by name, and lets the method win', () => {
    expect(counters(Limited, 'inherits')).toEqual(['Limited/shared=10', 'named=10']);
    expect(counters(Limited, 'adds')).toEqual(['Limited.adds/shared=2', 'named=10', 'Limited.adds/extra=10']);
    expect(counters(Limited, 'global')).toEqual(['Limited/shared=10', 'named=10', 'everywhere=10']);
  });

  it('keeps stacked decorators in the order they are read', () => {
    expect(counters(Plain, 'stacked')).toEqual(['Plain.stacked/first=10', 'Plain.stacked/second=10']);
  });

  it('names the handler whose decorator refers to an unknown policy', () => {
    expect(() => counters(Plain, 'wrong')).toThrow(/Plain\.wrong refers to rate limit policy "unknown"/);
  });

  it('refuses a wrong policy where it is written', () => {
    expect(() => RateLimit({ name: 'x', limit: 0, window: '1s' })).toThrow(/limit 0/);
  });
});
