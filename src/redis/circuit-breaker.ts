import { DIAGNOSTICS, DiagnosticsPublisher, type CircuitDiagnostic } from '../common/index.js';

/** Whether calls are let through. */
export type CircuitState = 'closed' | 'open';

/** State of a circuit as plain data. */
export interface CircuitSnapshot {
  /** Name of the server as configured. */
  readonly connection: string;
  readonly state: CircuitState;
  /** Milliseconds since it opened; 0 while closed. */
  readonly openForMs: number;
}

/** When a {@link CircuitBreaker} opens and how it looks for a recovery. */
export interface CircuitBreakerOptions {
  /** Failures in a row that open it. @default 5 */
  consecutiveFailures: number;
  /** Share of failed calls that opens it, once {@link minimumCalls} were made in {@link windowMs}. @default 0.5 */
  failureShare: number;
  /** @default 20 */
  minimumCalls: number;
  /** Length of the window the share is taken over, in milliseconds. @default 5000 */
  windowMs: number;
  /** Wait before the first probe, in milliseconds; doubles up to {@link maxProbeMs}. @default 500 */
  firstProbeMs: number;
  /** Longest wait between probes, in milliseconds. @default 5000 */
  maxProbeMs: number;
}

/** Defaults of {@link CircuitBreakerOptions}. */
export const CIRCUIT_DEFAULTS: Readonly<CircuitBreakerOptions> = Object.freeze({
  consecutiveFailures: 5,
  failureShare: 0.5,
  minimumCalls: 20,
  windowMs: 5000,
  firstProbeMs: 500,
  maxProbeMs: 5000,
});

/**
 * Makes an outage cost one slow call instead of one per request: after enough transport failures it
 * opens, and calls are refused at once until a probe of its own succeeds or the connection comes
 * back. Answers of the server, also errors, count as success: they show that it is there.
 *
 * @see https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
 */
export class CircuitBreaker {
  private readonly diagnostics = new DiagnosticsPublisher<CircuitDiagnostic>(DIAGNOSTICS.circuit);
  private current: CircuitState = 'closed';
  private inARow = 0;
  private calls = 0;
  private failures = 0;
  private windowStartMs = performance.now();
  private openedAtMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly connection: string,
    private readonly onChange: (state: CircuitState, openMs: number) => void = () => undefined,
    private readonly options: Readonly<CircuitBreakerOptions> = CIRCUIT_DEFAULTS,
  ) {}

  /** Whether calls are refused. */
  get isOpen(): boolean {
    return this.current === 'open';
  }

  /** Milliseconds since it opened; 0 while closed. */
  get openForMs(): number {
    return this.isOpen ? performance.now() - this.openedAtMs : 0;
  }

  /** Current state as plain data. */
  snapshot(): CircuitSnapshot {
    return { connection: this.connection, state: this.current, openForMs: Math.round(this.openForMs) };
  }

  /** The server answered. */
  succeeded(): void {
    this.calls += 1;
    this.inARow = 0;
  }

  /**
   * A call got no answer, or its connection broke.
   *
   * @param probe asks the server for a sign of life; must reject in bounded time without one
   */
  failed(probe: () => Promise<unknown>): void {
    this.rotate();
    this.calls += 1;
    this.failures += 1;
    this.inARow += 1;
    if (this.current === 'closed' && this.isTooMuch()) this.open(probe);
  }

  /** Lets calls through again: the connection is ready, so the server has answered. */
  close(): void {
    clearTimeout(this.timer);
    this.inARow = this.calls = this.failures = 0;
    if (this.current === 'closed') return;
    const openMs = this.openForMs;
    this.current = 'closed';
    this.report('closed', openMs);
  }

  /** Ends the probing for good. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private isTooMuch(): boolean {
    const { consecutiveFailures, failureShare, minimumCalls } = this.options;
    if (this.inARow >= consecutiveFailures) return true;
    return this.calls >= minimumCalls && this.failures >= this.calls * failureShare;
  }

  /** Successes only count up, so the window is looked at when something fails. */
  private rotate(): void {
    const nowMs = performance.now();
    if (nowMs - this.windowStartMs < this.options.windowMs) return;
    this.windowStartMs = nowMs;
    this.calls = this.failures = 0;
  }

  private open(probe: () => Promise<unknown>): void {
    if (this.stopped) return;
    this.current = 'open';
    this.openedAtMs = performance.now();
    this.report('open', 0);
    this.schedule(probe, this.options.firstProbeMs);
  }

  private schedule(probe: () => Promise<unknown>, waitMs: number): void {
    if (this.stopped) return;
    const timer = setTimeout(() => {
      const next = () => {
        // Another timer: it was closed and has opened again while the probe was out, and asks anew.
        if (this.isOpen && this.timer === timer) {
          this.schedule(probe, Math.min(waitMs * 2, this.options.maxProbeMs));
        }
      };
      probe().then(() => this.close(), next);
    }, waitMs);
    this.timer = timer.unref();
  }

  private report(state: CircuitState, openMs: number): void {
    this.diagnostics.publish(() => ({ connection: this.connection, state, openMs: Math.round(openMs) }));
    this.onChange(state, openMs);
  }
}
