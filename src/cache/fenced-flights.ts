import { SingleFlight } from '../common/index.js';

/** Tells a load whether its result may still be written. */
export interface Fence {
  /** `true` once the key was set or deleted after the load began. */
  readonly isVoid: boolean;
}

/** What an operation hands back: its value, and the write that goes on behind it, if any. */
export interface Landing<T> {
  readonly value: T;
  /** Must not reject. */
  readonly write?: Promise<unknown>;
}

class OpenFence implements Fence {
  isVoid = false;
}

/**
 * Single flight per key whose result can be overtaken: {@link void} makes later callers start anew
 * and forbids the running operation, and a write it has begun but not sent, to write.
 */
export class FencedFlights {
  private readonly flights = new SingleFlight();
  private readonly fences = new Map<string, Set<OpenFence>>();
  private joinedCount = 0;

  /** Operations running now. */
  get size(): number {
    return this.flights.size;
  }

  /** Callers so far that shared the operation of another. */
  get joined(): number {
    return this.joinedCount;
  }

  /** Joins the running operation of `key`, or starts this one. */
  run<T>(key: string, operation: (fence: Fence) => Promise<Landing<T>>): Promise<T> {
    let leads = false;
    const result = this.flights.run(key, () => {
      leads = true;
      return this.fly(key, operation);
    });
    if (!leads) this.joinedCount += 1;
    return result;
  }

  /** The key changed: what runs for it now is outdated. */
  void(key: string): void {
    this.flights.forget(key);
    for (const fence of this.fences.get(key) ?? []) fence.isVoid = true;
  }

  private async fly<T>(key: string, operation: (fence: Fence) => Promise<Landing<T>>): Promise<T> {
    const fence = this.open(key);
    let write: Promise<unknown> | undefined;
    try {
      const landing = await operation(fence);
      write = landing.write;
      return landing.value;
    } finally {
      if (write) void write.then(() => this.close(key, fence));
      else this.close(key, fence);
    }
  }

  private open(key: string): OpenFence {
    const fence = new OpenFence();
    const fences = this.fences.get(key);
    if (fences) fences.add(fence);
    else this.fences.set(key, new Set([fence]));
    return fence;
  }

  private close(key: string, fence: OpenFence): void {
    const fences = this.fences.get(key);
    if (fences?.delete(fence) && fences.size === 0) this.fences.delete(key);
  }
}
