import { Injectable } from '@nestjs/common';
import type { Channel } from './notification.js';

/** A provider takes no more for now. Any error with a `retryAfterMs` puts a job off instead of failing it. */
export class ProviderLimitError extends Error {
  override readonly name = 'ProviderLimitError';

  constructor(
    /** When to try again, in milliseconds. */
    readonly retryAfterMs: number,
  ) {
    super(`The provider takes no more messages; try again in ${retryAfterMs} ms`);
  }
}

/** Time a provider takes to accept a message, in milliseconds. */
const ACCEPT_MS = 20;

/** Length of the provider's window, in milliseconds. */
const WINDOW_MS = 1000;

/** Accepts messages for a tenant and channel; a stand-in for the providers of a real service, limits included. */
@Injectable()
export class MessageProvider {
  /** Messages per second, tenant and channel; tests lower it. */
  perSecond = 100;
  private readonly windows = new Map<string, { startedMs: number; count: number }>();

  /** @throws {ProviderLimitError} when the tenant has sent too much on this channel */
  async send(tenantId: string | null, channel: Channel): Promise<void> {
    this.count(`${tenantId}:${channel}`);
    await new Promise((resolve) => setTimeout(resolve, ACCEPT_MS));
  }

  private count(key: string): void {
    const nowMs = performance.now();
    let window = this.windows.get(key);
    if (!window || nowMs - window.startedMs >= WINDOW_MS) window = { startedMs: nowMs, count: 0 };
    this.windows.set(key, window);
    if (window.count >= this.perSecond) {
      throw new ProviderLimitError(Math.ceil(window.startedMs + WINDOW_MS - nowMs));
    }
    window.count += 1;
  }
}
