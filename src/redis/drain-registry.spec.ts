import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it } from '@jest/globals';
import { DIAGNOSTICS, type ShutdownDiagnostic } from '../common/index.js';
import { DrainRegistry, type DrainParticipant } from './drain-registry.js';

/** A participant that ends when it is told to. */
function worker(name: string): DrainParticipant & { finish: () => void; signals: AbortSignal[] } {
  let finish!: () => void;
  const done = new Promise<void>((resolve) => (finish = resolve));
  const signals: AbortSignal[] = [];
  return {
    name,
    finish,
    signals,
    drain: (signal) => {
      signals.push(signal);
      return done;
    },
  };
}

async function phasesOf(action: () => Promise<void>): Promise<string[]> {
  const phases: string[] = [];
  const listener = (message: unknown) => void phases.push((message as ShutdownDiagnostic).phase);
  subscribe(DIAGNOSTICS.shutdown, listener);
  try {
    await action();
  } finally {
    unsubscribe(DIAGNOSTICS.shutdown, listener);
  }
  return phases;
}

describe('DrainRegistry.begin', () => {
  it('drains once, whoever asks', async () => {
    const registry = new DrainRegistry(1000);
    const job = worker('jobs');
    registry.register(job);

    const first = registry.begin();
    const second = registry.begin();
    expect(registry.state).toBe('draining');
    job.finish();
    await Promise.all([first, second, registry.begin()]);

    expect(registry.state).toBe('drained');
    expect(registry.unfinished).toEqual([]);
    expect(job.signals).toHaveLength(1);
    expect(job.signals[0]!.aborted).toBe(false);
  });

  it('waits for two participants of one name', async () => {
    const registry = new DrainRegistry(1000);
    const [a, b] = [worker('jobs'), worker('jobs')];
    registry.register(a);
    registry.register(b);

    const drained = registry.begin();
    a.finish();
    await new Promise((resolve) => setImmediate(resolve));
    expect(registry.state).toBe('draining');
    b.finish();
    await drained;

    expect(registry.state).toBe('drained');
  });

  it('ends at its time, aborts the rest and names it', async () => {
    const registry = new DrainRegistry(20);
    const [quick, slow, other] = [worker('quick'), worker('slow'), worker('slow')];
    [quick, slow, other].forEach((participant) => registry.register(participant));
    quick.finish();

    const phases = await phasesOf(() => registry.begin());

    expect(registry.unfinished).toEqual(['slow', 'slow']);
    expect(slow.signals[0]!.aborted).toBe(true);
    expect(phases).toEqual(['draining', 'handlers-timeout']);
  });

  it('counts one that fails as ended, also when it throws at once', async () => {
    const registry = new DrainRegistry(1000);
    const job = worker('jobs');
    registry.register({ name: 'rejects', drain: () => Promise.reject(new Error('no')) });
    registry.register({
      name: 'throws',
      drain: () => {
        throw new Error('at once');
      },
    });
    registry.register(job);
    job.finish();

    const phases = await phasesOf(() => registry.begin());

    expect(registry).toMatchObject({ state: 'drained', unfinished: [] });
    expect(job.signals).toHaveLength(1);
    expect(phases).toEqual(['draining', 'handlers-done']);
  });

  it('is done at once when nothing takes part', async () => {
    const registry = new DrainRegistry(60_000);

    await registry.begin();

    expect(registry.state).toBe('drained');
  });

  it('drains a participant once although it registered twice', async () => {
    const registry = new DrainRegistry(1000);
    const job = worker('jobs');
    registry.register(job);
    registry.register(job);
    job.finish();

    await registry.begin();

    expect(job.signals).toHaveLength(1);
  });
});

describe('DrainRegistry.register', () => {
  it('drains one that comes after the drain began at once, with its time over', async () => {
    const registry = new DrainRegistry(1000);
    await registry.begin();
    const late = worker('late');

    registry.register(late);

    expect(late.signals.map(({ aborted }) => aborted)).toEqual([true]);
    late.finish();
  });

  it('does not pass on what a late one throws', async () => {
    const registry = new DrainRegistry(1000);
    await registry.begin();
    const drain = () => {
      throw new Error('at once');
    };

    expect(() => registry.register({ name: 'late', drain })).not.toThrow();
  });
});

describe('DrainRegistry.host', () => {
  it('lets the destruction of a provider wait for the drain, then runs its own hook', async () => {
    const registry = new DrainRegistry(1000);
    const job = worker('jobs');
    registry.register(job);
    const order: string[] = [];
    class Processor {
      readonly label = 'processor';
      onModuleDestroy(): void {
        order.push(`${this.label} while ${registry.state}`);
      }
    }
    const instance = new Processor();
    registry.host(instance);
    registry.host(instance);

    const destroyed = Promise.resolve(instance.onModuleDestroy());
    expect(registry.state).toBe('draining');
    expect(order).toEqual([]);
    job.finish();
    await destroyed;

    expect(order).toEqual(['processor while drained']);
  });

  it('gives the hook to a provider without one, and not to its class', async () => {
    const registry = new DrainRegistry(1000);
    class Plain {}
    const instance: { onModuleDestroy?: () => unknown } = new Plain();
    registry.host(instance);

    await instance.onModuleDestroy?.();

    expect(registry.state).toBe('drained');
    expect('onModuleDestroy' in new Plain()).toBe(false);
  });

  it('passes on what the own hook throws', async () => {
    const registry = new DrainRegistry(1000);
    const instance = { onModuleDestroy: () => Promise.reject(new Error('own')) };
    registry.host(instance);

    await expect(instance.onModuleDestroy()).rejects.toThrow('own');
  });
});
