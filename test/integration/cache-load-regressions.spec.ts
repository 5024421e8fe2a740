import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import {
  CacheLoaderTimeoutError,
  CacheModule,
  CacheService,
  type CacheLoader,
  type CacheLoadOptions,
  type CacheOptions,
  type WriteBehindLoss,
} from 'rednest/cache';
import { createModule, inject } from '../support/app.js';
import { startClusterPlace, startServerPlace, type CachePlace } from '../support/cache-places.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const never = (): Promise<never> => new Promise(() => undefined);

/** Of loads: those who came late get what the first one brought. */
const SHARED = 0;

/** A promise and its end. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

describeNative('loads that go wrong', () => behaviour(startServerPlace));
describeNative('loads that go wrong on a Cluster of 3 masters', () => behaviour(startClusterPlace));

function behaviour(startPlace: () => Promise<CachePlace>): void {
  let place: CachePlace;
  let keyPrefix: string;
  let modules: TestingModule[];
  let cache: CacheService;
  let other: CacheService;

  /** The cache of another process, as far as Redis can tell. */
  async function open(options: CacheOptions = {}): Promise<CacheService> {
    const module = await createModule({
      redis: { ...place.redis, keyPrefix },
      imports: [CacheModule.forRoot({ namespace: 'n', ...options })],
    });
    modules.push(module);
    return inject(module, CacheService);
  }

  const leaseOf = (id: string) => place.leaseOf(keyPrefix, 'n', id);
  const scripts = (): Promise<number> => place.scriptCalls();

  beforeAll(async () => {
    place = await startPlace();
  }, 60_000);
  afterAll(() => place?.stop());
  beforeEach(async () => {
    modules = [];
    keyPrefix = uniquePrefix();
    cache = await open();
    other = await open();
    // Every bucket was compared with its server, so that no test measures that.
    const keys = Array.from({ length: 200 }, (_, id) => ['warm', id]);
    await Promise.all([cache.getMany(keys), other.getMany(keys)]);
    await cache.get('warm');
    await other.get('warm');
  });
  afterEach(async () => {
    // A test that fails leaves the others a server.
    place.resume();
    await Promise.all(modules.map((module) => module.close()));
  });

  it('frees the key of a loader that hangs when its limit aborts it', async () => {
    const options = { lease: '60s', waitTimeout: '20s', backgroundCompletion: false } as const;
    const hung = cache.getOrSet('k', never, { ...options, loaderTimeout: { hard: '300ms' } });
    const failure = hung.catch((error: unknown) => error);
    await eventually('it has the lease', () => leaseOf('k'));

    const startedMs = performance.now();
    await expect(other.getOrSet('k', () => 'ok', options)).resolves.toBe('ok');

    expect(performance.now() - startedMs).toBeLessThan(10_000);
    expect(await failure).toBeInstanceOf(CacheLoaderTimeoutError);
  });

  it.each<[string, CacheLoadOptions]>([
    ['in the background', { loaderTimeout: { hard: '50ms' } }],
    ['without limits', {}],
  ])('no longer renews the lease of a loader that hangs %s', async (_how, options) => {
    void cache
      .getOrSet('k', never, { lease: '300ms', waitTimeout: '500ms', ...options })
      .catch(() => undefined);
    await eventually('it has the lease', () => leaseOf('k'));

    await eventually('the lease has ended', async () => (await leaseOf('k')) === null);
  });

  it('no longer renews the leases of a writer and of a loader of many that hang', async () => {
    const hasty = await open({ waitTimeout: '100ms', lease: '300ms' });
    void hasty.writeThrough('w', 1, never);
    void hasty.getOrSetMany(['m'], (id) => id, never);
    await eventually('they have leases', async () => (await leaseOf('w')) && (await leaseOf('m')));

    await eventually('the leases have ended', async () => !(await leaseOf('w')) && !(await leaseOf('m')));
  }, 20_000);

  it('refreshes again after a refresh that hangs', async () => {
    let loads = 0;
    const options = { lease: '100ms', waitTimeout: '200ms', eagerRefresh: 0 } as const;
    await cache.set('k', 'old');
    const load = (): Promise<string> => ((loads += 1) === 1 ? never() : Promise.resolve('new'));

    await eventually('the second refresh', async () => (await cache.getOrSet('k', load, options)) === 'new');
  });

  it('waits, and does not spin, while an entry that it cannot read is replaced', async () => {
    await cache.namespace('n', { version: 1 }).set('k', 'one');
    const [mine, others] = [cache, other].map((each) => each.namespace('n', { version: 2 }));
    const { opened, open: finish } = gate();
    const loading = mine!.getOrSet('k', async () => {
      await opened;
      return 'two';
    });
    await eventually('it loads', () => leaseOf('k'));
    const before = await scripts();
    const waiting = others!.getOrSet('k', () => 'never');
    await eventually('the other waits', () => other.stats().waits === 1);

    await pause(1_000);
    const calls = (await scripts()) - before;
    finish();

    expect(calls).toBeLessThan(20);
    await expect(Promise.all([loading, waiting])).resolves.toEqual(['two', 'two']);
  });

  it('gives a lease back whose request was not answered in time', async () => {
    place.freeze();
    const options = { lease: '60s', waitTimeout: '20s' } as const;
    await expect(cache.getOrSet('k', () => 'alone', options)).resolves.toBe('alone');
    await expect(
      cache.getOrSetMany(
        ['m'],
        (id) => id,
        async () => new Map([['m', 1]]),
        { lease: '60s' },
      ),
    ).resolves.toEqual(new Map([['m', 1]]));
    place.resume();

    const startedMs = performance.now();
    await expect(other.getOrSet('k', () => 'v', options)).resolves.toBe('v');
    await expect(other.getOrSet('m', () => 2, options)).resolves.toBe(2);

    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });

  it('keeps what getOrSetMany loads anew', async () => {
    await cache.set('k', 'old');

    await cache.getOrSetMany(
      ['k'],
      (id) => id,
      async () => new Map([['k', 'new']]),
      { forceRefresh: true },
    );

    await eventually('it is kept', async () => (await other.get('k', { memory: false })) === 'new');
  });

  it('answers what another process loads anew, not what was there before', async () => {
    await cache.set('k', 'old');
    const { opened, open: finish } = gate();
    const load = async (): Promise<string> => {
      await opened;
      return 'new';
    };
    const first = cache.getOrSet('k', load, { forceRefresh: true });
    await eventually('it loads', () => leaseOf('k'));
    const second = other.getOrSet('k', () => 'never', { forceRefresh: true });
    await eventually('the other waits', () => other.stats().waits === 1);
    finish();

    await expect(Promise.all([first, second])).resolves.toEqual(['new', 'new']);
  });

  it('does not join a plain read when it is to load anew', async () => {
    await cache.set('k', 'old');

    const values = await Promise.all([
      cache.getOrSet('k', () => 'never', { memory: false }),
      cache.getOrSet('k', () => 'forced', { forceRefresh: true }),
      cache.getOrSet('k', () => 'never', { forceRefresh: true }),
    ]);

    expect(values).toEqual(['old', 'forced', 'forced']);
  });

  it('ends a back-off with the stale value it was for', async () => {
    const options = { grace: '1h', graceBackoff: '1h', tags: ['t'] } as const;
    await cache.set('k', 'v', { grace: '1h', tags: ['t'] });
    await cache.expire('k');
    const failing = cache.getOrSet('k', () => Promise.reject(new Error('down')), options);
    await expect(failing).resolves.toBe('v');
    await eventually('it backs off', async () => (await leaseOf('k')) === '!');
    await cache.deleteByTag('t');

    await expect(other.getOrSet('k', () => 'fresh', options)).resolves.toBe('fresh');

    await eventually('it is kept', async () => (await cache.get('k', { memory: false })) === 'fresh');
  });

  it.each<[string, () => unknown]>([
    ['undefined', () => undefined],
    ['an error', () => Promise.reject(new Error('down'))],
  ])('does not let callers load one after another when each gets %s', async (_what, end) => {
    const fleet = [cache, other, await open(), await open()];
    await Promise.all(fleet.map((each) => each.get('warm')));
    const ended = gate();
    let started = 0;
    let running = 0;
    let most = 0;
    const load = async (): Promise<unknown> => {
      started += 1;
      running += 1;
      most = Math.max(most, running);
      // The first ends when all others wait for it, and these when all of them load.
      if (running === fleet.length - 1) ended.open();
      if (started === 1) await eventually('the others wait', () => waits() === fleet.length - 1);
      else await Promise.race([ended.opened, pause(3_000)]);
      running -= 1;
      return end();
    };
    const waits = (): number => fleet.reduce((sum, each) => sum + each.stats().waits, 0);

    await Promise.allSettled(fleet.map((each) => each.getOrSet('k', load, { waitTimeout: '20s' })));

    expect(most).toBe(fleet.length - 1);
    expect(fleet.map((each) => each.stats().loads)).toEqual([1, 1, 1, 1]);
  });

  it('ends the first call of a process within its timeout', async () => {
    const late = await open();
    place.freeze();

    const startedMs = performance.now();
    await expect(late.getOrSet('k', () => 'v')).resolves.toBe('v');
    const tookMs = performance.now() - startedMs;
    place.resume();

    expect(tookMs).toBeGreaterThanOrEqual(240);
    expect(tookMs).toBeLessThan(1_000);
  });

  it('wakes those who wait for a load when a write-through takes its place', async () => {
    const { opened, open: finish } = gate();
    const loading = cache.getOrSet('k', () => opened.then(() => 'loaded'));
    await eventually('it loads', () => leaseOf('k'));
    const waiting = other.getOrSet('k', () => 'never');
    await eventually('the other waits', async () => (await leaseOf('k'))?.endsWith('+'));

    let holder: string | null = null;
    await cache.writeThrough('k', 'written', async () => {
      holder = await leaseOf('k');
    });

    expect(holder).toMatch(/\+$/);
    await expect(waiting).resolves.toBe('written');
    finish();
    await loading;
  });

  it('refreshes eagerly only what is still there', async () => {
    const deaf = await open({ coherence: 'none' });
    await cache.set('k', 'old');
    await eventually('a copy in memory', async () => (await deaf.get('k')) && deaf.peek('k'));
    await cache.set('k', 'new');
    let loads = 0;
    const before = await scripts();

    const value = await deaf.getOrSet('k', () => (loads += 1), { eagerRefresh: 0 });
    await eventually('the server was asked', async () => (await scripts()) > before);
    await other.get('k', { memory: false });

    expect(value).toBe('old');
    expect(loads).toBe(0);
    await expect(other.get('k', { memory: false })).resolves.toBe('new');
  });

  it('does not share a load without a lease with those who came after a newer write', async () => {
    const options = { waitTimeout: '50ms', lease: '60s' } as const;
    const [held, slow] = [gate(), gate()];
    let loads = 0;
    // Without memory no process is told of what others write.
    const deaf = await open({ memory: false });
    const holder = other.getOrSet('k', () => held.opened.then(() => 'held'), options);
    await eventually('it has the lease', () => leaseOf('k'));
    const early = deaf.getOrSet('k', () => ((loads += 1), slow.opened.then(() => 'old')), options);
    await eventually('the wait is over', () => loads === 1);

    await other.set('k', 'new');
    const late = deaf.getOrSet('k', () => 'loaded', options);
    slow.open();

    await expect(Promise.all([early, late])).resolves.toEqual(['old', 'new']);
    held.open();
    await holder;
  });

  it('refuses options that getOrSetMany would ignore', async () => {
    const options: CacheLoadOptions = { loaderTimeout: { hard: '1s' } };

    await expect(
      cache.getOrSetMany(
        ['k'],
        (id) => id,
        async () => new Map([['k', 1]]),
        options,
      ),
    ).rejects.toThrow('"loaderTimeout"');
  });

  it.each<[string, CacheLoader<unknown>, (at: CacheService) => Promise<unknown>, number]>([
    ['skipped and nothing changed', (context) => context.skip('first'), () => pause(0), SHARED],
    ['nothing and nothing changed', () => undefined, () => pause(0), SHARED],
    [
      'skipped and its tag was invalidated',
      (context) => context.skip('first'),
      (at) => at.deleteByTag('t'),
      2,
    ],
    ['skipped and its tag has expired', (context) => context.skip('first'), (at) => at.expireByTag('t'), 2],
    ['skipped and all was cleared', (context) => context.skip('first'), (at) => at.clear(), 2],
    ['skipped and a write came', (context) => context.skip('first'), (at) => at.set('k', 'second'), 1],
    ['skipped and a delete came', (context) => context.skip('first'), (at) => at.delete('k'), 2],
  ])('knows whether a load that is not kept was overtaken: %s', async (_what, end, change, expectedLoads) => {
    // Without memory no process is told of what others change, and those who wait have only the server's word.
    const deaf = await open({ memory: false });
    const options = { tags: ['t'] };
    const { opened, open: finish } = gate();
    let loads = 0;
    const load: CacheLoader<unknown> = async (context) => {
      loads += 1;
      if (loads > 1) return 'second';
      await opened;
      return end(context);
    };
    const first = deaf.getOrSet('k', load, options);
    await eventually('it loads', () => leaseOf('k'));
    const waiting = other.getOrSet('k', load, options);
    await eventually('another process waits', async () => (await leaseOf('k'))?.endsWith('+'));

    await change(cache);
    const late = [deaf.getOrSet('k', load, options), deaf.getOrSet('k', load, options)];
    finish();

    const value = await first;
    const isShared = expectedLoads === SHARED;
    expect(await Promise.all(late)).toEqual(isShared ? [value, value] : ['second', 'second']);
    expect(await waiting).toBe('second');
    expect(deaf.stats()).toMatchObject({ writeFailures: 0, discardedWrites: 0 });
    await eventually('all is written', () => deaf.stats().pendingWrites + other.stats().pendingWrites === 0);
    expect(await cache.get('k', { memory: false })).toBe(isShared ? undefined : 'second');
    // What is not kept, the process that waited loads alone.
    expect(loads).toBe(isShared ? 2 : expectedLoads);
  });

  it('has no write to miss when it hands back what is not kept without Redis', async () => {
    const { opened, open: finish } = gate();
    const loading = cache.getOrSet('k', (context) => opened.then(() => context.skip('v')));
    await eventually('it loads', () => leaseOf('k'));
    place.freeze();
    finish();

    await expect(loading).resolves.toBe('v');
    await eventually('the lease was given up', () => cache.stats().pendingWrites === 0);
    place.resume();

    expect(cache.stats()).toMatchObject({ loads: 1, writes: 0, writeFailures: 0 });
  });

  it('goes on sharing loads when a tag of another namespace is invalidated', async () => {
    const [mine, others] = [cache, other].map((each) => each.namespace('other'));
    await mine!.set('tagged', 1, { tags: ['t'] });
    await eventually('a copy in memory', async () => (await mine!.get('tagged')) && mine!.peek('tagged'));
    const { opened, open: finish } = gate();
    const first = cache.getOrSet('k', () => opened.then(() => 'loaded'));
    await eventually('it loads', () => leaseOf('k'));

    await others!.deleteByTag('t');
    await eventually('the signal has come', () => mine!.peek('tagged') === undefined);
    const second = cache.getOrSet('k', () => 'never');
    expect(cache.stats().joined).toBe(1);
    finish();

    await expect(Promise.all([first, second])).resolves.toEqual(['loaded', 'loaded']);
  });

  it('neither waits nor spins when the application closes', async () => {
    const { opened, open: finish } = gate();
    const loading = cache.getOrSet('k', () => opened.then(() => 'loaded'));
    await eventually('it loads', () => leaseOf('k'));
    const before = await scripts();
    const waiting = other.getOrSet('k', () => 'own');
    await eventually('the other waits', () => other.stats().waits === 1);

    await modules[1]!.close();

    await expect(waiting).resolves.toBe('own');
    expect((await scripts()) - before).toBeLessThan(20);
    finish();
    await loading;
  });

  it('refuses, and reports, what is put after a write-behind has ended', async () => {
    const losses: WriteBehindLoss[] = [];
    let written = 0;
    const buffer = cache.writeBehind<number>({
      name: 'w',
      interval: '50ms',
      flush: (items) => (written += items.length),
      onLoss: (loss) => losses.push(loss),
    });
    buffer.put('a', 1);
    await buffer.drain(new AbortController().signal);

    expect(buffer.put('b', 2)).toBe(false);

    expect(written).toBe(1);
    expect(losses).toEqual([{ count: 1, reason: 'shutdown' }]);
    expect(buffer.stats()).toMatchObject({ pending: 0, written: 1, lost: 1 });
  });

  it.each<[string, () => Promise<unknown>]>([
    ['hangs', never],
    ['fails', () => Promise.reject(new Error('down'))],
  ])('ends a write-behind in time when the store %s', async (_how, flush) => {
    const losses: WriteBehindLoss[] = [];
    const buffer = cache.writeBehind<number>({
      name: 'w',
      interval: '1ms',
      attempts: 100,
      flush,
      onLoss: (loss) => {
        losses.push(loss);
        return Promise.reject(new Error('of the listener'));
      },
    });
    buffer.put('a', 1);
    const flushing = buffer.flush();
    buffer.put('b', 1);
    const signal = AbortSignal.timeout(200);

    await buffer.drain(signal);
    await flushing;

    expect(losses.reduce((sum, { count }) => sum + count, 0)).toBe(2);
    expect(losses.every(({ reason }) => reason === 'shutdown')).toBe(true);
    expect(buffer.stats()).toMatchObject({ pending: 0, lost: 2 });
  });
}
