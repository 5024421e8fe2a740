import { diagnoseBoot, isAmbiguous, type BootDiagnosis } from './boot-diagnosis.js';
import { probeServer } from './boot-probe.js';
import type { BootPlace } from './boot-settings.js';
import type { ManagedConnection } from './managed-connection.js';

/** Silence of a new connection after which the bare socket is looked at, in milliseconds. */
const QUIET_MS = 400;

/** What {@link waitUntilReady} waits for. */
export interface BootWait {
  readonly link: ManagedConnection;
  readonly place: BootPlace;
  /** Longest wait, in milliseconds. */
  readonly timeoutMs: number;
  /** Ends the wait: start-up was given up elsewhere. */
  readonly signal: AbortSignal;
}

/**
 * Waits until a connection is ready, at most `timeoutMs`, and not at all once waiting cannot help.
 *
 * @returns why it is not ready; `undefined` when it is
 */
export function waitUntilReady(wait: BootWait): Promise<BootDiagnosis | undefined> {
  const { link, signal } = wait;
  if (link.isReady) return Promise.resolve(undefined);
  if (signal.aborted) return Promise.resolve(GIVEN_UP);
  return new Promise((resolve) => new Waiting(wait, resolve).start());
}

const GIVEN_UP: BootDiagnosis = Object.freeze({
  reason: 'GIVEN_UP',
  permanent: false,
  advice: 'start-up was given up before it was ready',
});

class Waiting {
  private readonly timers: NodeJS.Timeout[] = [];
  private stopWaiting: (() => void) | undefined;
  private hasProbed = false;
  private hint: BootDiagnosis | undefined;

  constructor(
    private readonly wait: BootWait,
    private readonly resolve: (failure: BootDiagnosis | undefined) => void,
  ) {}

  start(): void {
    const { link, timeoutMs, signal } = this.wait;
    this.timers.push(setTimeout(this.onDeadline, timeoutMs), setTimeout(this.onQuiet, QUIET_MS));
    signal.addEventListener('abort', this.onGivenUp);
    this.stopWaiting = link.onceReady(() => this.settle(undefined));
    link.client.on('error', this.onError);
    // A Cluster without slots reports no error, it only connects again and again.
    link.client.on('reconnecting', this.onReconnecting);
    if (link.lastFailure) this.onError(link.lastFailure);
  }

  private settle(failure: BootDiagnosis | undefined): void {
    const { link, signal } = this.wait;
    for (const timer of this.timers) clearTimeout(timer);
    signal.removeEventListener('abort', this.onGivenUp);
    this.stopWaiting?.();
    link.client.off('error', this.onError);
    link.client.off('reconnecting', this.onReconnecting);
    this.resolve(failure);
  }

  private readonly onError = (error: Error): void => {
    const diagnosis = diagnoseBoot(error, this.wait.place);
    if (diagnosis.permanent) this.settle(diagnosis);
    else if (isAmbiguous(diagnosis) || diagnosis.reason === 'ENOENT') this.probe();
    else this.hint = undefined;
  };

  private readonly onReconnecting = (): void => {
    if (!this.wait.link.lastFailure) this.probe();
  };

  private readonly onQuiet = (): void => {
    const { lastFailure } = this.wait.link;
    if (!lastFailure || isAmbiguous(this.diagnose())) this.probe();
  };

  private readonly onDeadline = (): void => this.settle(this.hint ?? this.diagnose());

  private readonly onGivenUp = (): void => this.settle(GIVEN_UP);

  private diagnose(): BootDiagnosis {
    return diagnoseBoot(this.wait.link.lastFailure, this.wait.place);
  }

  /** Once per start: the probe costs the server a connection, and its log a line. */
  private probe(): void {
    if (this.hasProbed) return;
    this.hasProbed = true;
    void probeServer(this.wait.place).then((finding) => {
      if (finding?.permanent) this.settle(finding);
      else this.hint = finding;
    });
  }
}
