/** A message as one subscription gets it; all listeners of a channel share the object. */
export class ChannelMessage {
  private decoded: string | undefined;

  constructor(
    /** Channel it was published to. */
    readonly channel: string,
    /** The bytes. Shared: do not change them. */
    readonly data: Buffer,
  ) {}

  /** The bytes as UTF-8 text; decoded once, however many listeners read it. */
  get text(): string {
    return (this.decoded ??= this.data.toString('utf8'));
  }
}

/** A time in which messages of a channel may have been lost. */
export interface SubscriptionGap {
  /** Channel whose messages may be missing. */
  readonly channel: string;
  /**
   * Up to when nothing is missing, in milliseconds since the Unix epoch by this machine's clock. Up to
   * two seconds early, never late.
   */
  readonly fromMs: number;
  /** From then until the subscription was confirmed again, in milliseconds. */
  readonly durationMs: number;
}

/** Takes the messages of a channel. Errors are logged and reach nobody else; a promise is not awaited. */
export type MessageListener = (message: ChannelMessage) => unknown;

/** Takes a gap after the subscription was restored. */
export type GapListener = (gap: SubscriptionGap) => unknown;
