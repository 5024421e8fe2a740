import type { Socket } from 'node:net';

/** What the client keeps to itself and is replaced or read here. */
export interface SilentClient {
  readonly options: { readonly socketTimeout?: number };
  readonly stream?: Socket;
  readonly commandQueue?: { readonly length: number };
  /** Whether the client waits for data; it begins with a command when it does not. */
  socketTimeoutTimer?: NodeJS.Timeout | undefined;
  setSocketTimeout?(): void;
}

/** A timer that is this late, in milliseconds, shows that the event loop was blocked. */
const STALL_MS = 100;

/**
 * Keeps a client from taking a blocked event loop for a dead socket. Its own timer gives the socket up before
 * what has arrived meanwhile is read, and counts time in which the command had not even been written. Here
 * a timer that is late runs once more, and what lies in the socket is read before the end.
 */
export function tellStallsFromSilence(client: SilentClient): void {
  if (!client.setSocketTimeout) return;
  let silence: SocketSilence | undefined;
  client.setSocketTimeout = () => {
    const { stream } = client;
    if (!stream) return;
    if (silence?.stream !== stream) silence = new SocketSilence(client, stream);
    silence.begin();
  };
}

/** Waits for data of one socket, as long as commands wait for their answers. */
class SocketSilence {
  private timer: NodeJS.Timeout | undefined;
  private limitMs = 0;
  private dueAtMs = 0;
  private extended = false;
  private isOver = false;

  constructor(
    private readonly client: SilentClient,
    readonly stream: Socket,
  ) {
    // Runs after the client has taken the answers from the data.
    stream.on('data', () => this.onData());
  }

  begin(): void {
    this.limitMs = this.client.options.socketTimeout!;
    this.restart(false);
    this.timer = this.client.socketTimeoutTimer = setTimeout(() => this.onTimer(), this.limitMs);
  }

  private restart(extended: boolean): void {
    this.dueAtMs = performance.now() + this.limitMs;
    this.extended = extended;
    this.isOver = false;
  }

  private onData(): void {
    const { client, timer, limitMs } = this;
    if (timer === undefined || client.socketTimeoutTimer !== timer) return;
    if (client.commandQueue!.length > 0 && client.options.socketTimeout === limitMs) {
      this.restart(false);
      timer.refresh();
      return;
    }
    clearTimeout(timer);
    this.timer = client.socketTimeoutTimer = undefined;
    this.isOver = false;
    if (client.commandQueue!.length > 0) this.begin();
  }

  private onTimer(): void {
    if (!this.extended && performance.now() - this.dueAtMs > STALL_MS) {
      this.restart(true);
      this.timer!.refresh();
      return;
    }
    this.isOver = true;
    // Data is read after the timers of a turn, and before this.
    setImmediate(() => {
      if (this.isOver) this.giveUp();
    });
  }

  private giveUp(): void {
    this.timer = this.client.socketTimeoutTimer = undefined;
    this.stream.destroy(
      new Error(`Socket timeout. Expecting data, but didn't receive any in ${this.limitMs}ms.`),
    );
  }
}
