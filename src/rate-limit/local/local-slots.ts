/** The slots of a concurrency limit in the memory of this process, under the same rules as the script's. */
export class LocalSlots {
  private readonly ends = new Map<string, Map<string, number>>();

  constructor(private readonly nowMs: () => number) {}

  /** Takes a slot or renews its lease; the reply is that of the script, in milliseconds. */
  hold(key: string, token: string, limit: number, leaseMs: number): { granted: boolean; freeInMs: number } {
    const nowMs = this.nowMs();
    const slots = this.ends.get(key) ?? new Map<string, number>();
    for (const [other, endsMs] of slots) if (endsMs <= nowMs) slots.delete(other);
    if (!slots.has(token) && slots.size >= limit) {
      return { granted: false, freeInMs: Math.min(...slots.values()) - nowMs };
    }
    slots.set(token, nowMs + leaseMs);
    this.ends.set(key, slots);
    return { granted: true, freeInMs: leaseMs };
  }

  /** Gives a slot back. Returns whether it was held. */
  release(key: string, token: string): boolean {
    const slots = this.ends.get(key);
    const held = slots?.delete(token) ?? false;
    if (slots?.size === 0) this.ends.delete(key);
    return held;
  }
}
