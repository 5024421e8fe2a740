import { describe, expect, it } from '@jest/globals';
import { Reflector } from '@nestjs/core';
import { Concurrency, RateLimit, SkipRateLimit } from './rate-limit.decorators.js';
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

class Staged {
  @RateLimit(
    policy('a'),
    { ...policy('b'), key: 'ip' },
    { ...policy('c'), cost: 2 },
    { ...policy('d'), countOnly: 'failures' },
    { ...policy('e'), key: 'user' },
    { ...policy('f'), stage: 'post-auth' },
  )
  @Concurrency({ name: 'slots', limit: 2, key: 'tenant', maxWait: '5s' })
  handle(): void {}
}

@SkipRateLimit()
class Exempt {
  open(): void {}
  @RateLimit('named')
  limited(): void {}
}

type Handlers<T> = { [K in keyof T]: () => void };

function planOf<T extends object>(type: new () => T, method: keyof T & string) {
  return planner.plan(type, (type.prototype as Handlers<T>)[method]);
}

function counters<T extends object>(type: new () => T, method: keyof T & string): string[] {
  const { preAuth, postAuth } = planOf(type, method);
  const sets = [...preAuth, ...postAuth].map(({ set }) => set);
  return sets.flatMap(({ policies }) => policies.map(({ counter, limit }) => `${counter}=${limit}`));
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

  it('sets policies apart by stage, key, cost and what they count', () => {
    const { preAuth, postAuth, countOnly, slots, isSimple } = planOf(Staged, 'handle');
    const shape = (groups: typeof preAuth) =>
      groups.map(({ key, cost, policies }) => [key, cost, policies.map(({ name }) => name)]);

    expect(shape(preAuth)).toEqual([
      ['ip', 1, ['a', 'b']],
      ['ip', 2, ['c']],
      ['ip', 1, ['d']],
    ]);
    expect(shape(postAuth)).toEqual([
      ['user', 1, ['e']],
      ['ip', 1, ['f']],
    ]);
    expect([...countOnly]).toEqual([['d', 'failures']]);
    expect(slots).toMatchObject([{ key: 'tenant', scope: 'Staged.handle', maxWait: 5000 }]);
    expect(isSimple).toBe(false);
    expect(planOf(Plain, 'limited').isSimple).toBe(true);
  });

  it('refuses a wrong policy where it is written', () => {
    const bad = (more: object) => () => RateLimit({ ...policy('x'), ...more });

    expect(bad({ limit: 0 })).toThrow(/limit 0/);
    expect(bad({ key: 'session' })).toThrow(/"session" as key; give "ip", "user"/);
    expect(bad({ scope: 'all' })).toThrow(/"all" as scope/);
    expect(bad({ stage: 'later' })).toThrow(/"later" as stage/);
    expect(bad({ countOnly: 'errors' })).toThrow(/"errors" as countOnly/);
    expect(bad({ countOnly: 'successes', stage: 'pre-auth' })).toThrow(/"post-auth"/);
    expect(bad({ charge: 'alias' })).toThrow(/"alias" as charge/);
    expect(bad({ cost: 0 })).toThrow(/cost 0; give a whole number from 1 to 10/);
    expect(bad({ cost: 11 })).toThrow(/cost 11/);
    expect(() => Concurrency({ name: 'x', limit: 0 })).toThrow(/limit 0/);
  });
});
