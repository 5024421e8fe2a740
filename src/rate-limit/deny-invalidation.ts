import type { Subscriber } from '../redis/index.js';
import type { DenyCache } from './deny-cache.js';

/**
 * Forgets refusals when another process has made room. Listens from the first refusal on, so that an
 * application that never refuses anybody opens no connection for it.
 *
 * @internal
 */
export class DenyInvalidation {
  private started = false;

  constructor(
    private readonly subscriber: () => Subscriber,
    /** Pub/sub channel; a message is escaped identities, separated by spaces. */
    readonly channel: string,
    private readonly denials: DenyCache,
  ) {}

  /** Begins to listen. What is missed before that, or in a gap, ends with the age of a refusal. */
  start(): void {
    if (this.started) return;
    this.started = true;
    const forgetAll = (): void => this.denials.clear();
    const forget = (identities: string): void => {
      for (const identity of identities.split(' ')) this.denials.forget(identity);
    };
    this.subscriber().attach(this.channel, ({ text }) => forget(text), {
      onGap: forgetAll,
      onActive: forgetAll,
    });
  }
}
