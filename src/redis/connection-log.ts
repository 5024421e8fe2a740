import { DIAGNOSTICS, DiagnosticsPublisher, type ConnectionDiagnostic } from '../common/index.js';
import { LINE_EVERY_MS, LineBudget } from './line-budget.js';
import { errorCode, type ManagedConnection } from './managed-connection.js';

/** How connection events are written: one readable line, or one object per line. */
export type LogFormat = 'pretty' | 'json';

/** The part of Nest's logger that connection events use. */
export interface ConnectionLogger {
  /** Takes what went well: connected, ready, closed on purpose. */
  log(message: unknown): void;
  /** Takes a lost connection and the attempts to get it back. */
  warn(message: unknown): void;
  /** Takes connection errors, by code and without their arguments. */
  error(message: unknown): void;
}

type LoggedState = ConnectionDiagnostic['state'];

const SYMBOLS: Record<LoggedState, string> = {
  connect: '◌',
  ready: '●',
  error: '✖',
  close: '○',
  reconnecting: '↻',
  end: '■',
};

const LEVELS: Record<LoggedState, keyof ConnectionLogger> = {
  connect: 'log',
  ready: 'log',
  error: 'error',
  close: 'warn',
  reconnecting: 'warn',
  end: 'log',
};

/** Interval of the summary lines during a long outage, in milliseconds. */
const SUMMARY_EVERY_MS = 30_000;

interface Details {
  code?: string;
  delayMs?: number;
  downMs?: number;
  attempts?: number;
  folded?: number;
}

/**
 * Writes the events of one connection. While the connection is down each state is written once;
 * repeats are counted and summed up every 30 s and in the line that reports the recovery.
 */
export class ConnectionLog {
  private readonly diagnostics = new DiagnosticsPublisher<ConnectionDiagnostic>(DIAGNOSTICS.connection);
  private readonly written = new Set<LoggedState>();
  private downSinceMs: number | undefined;
  private lastLineMs = 0;
  private folded = 0;
  private attempts = 0;
  private hasBeenReady = false;
  private readonly budget = new LineBudget();
  private later: NodeJS.Timeout | undefined;

  constructor(
    private readonly link: ManagedConnection,
    private readonly logger: ConnectionLogger,
    private readonly format: LogFormat,
  ) {}

  /** Subscribes to the client's events. */
  attach(): void {
    const { client } = this.link;
    client.on('connect', () => this.onEvent('connect'));
    client.on('ready', () => this.onReady());
    client.on('error', (error: Error) => this.onEvent('error', { code: errorCode(error) }));
    client.on('close', () => this.onEvent('close'));
    client.on('reconnecting', (delayMs: number) => this.onReconnecting(delayMs));
    client.on('end', () => this.onEvent('end'));
  }

  private onReconnecting(delayMs: number): void {
    this.attempts += 1;
    this.onEvent('reconnecting', { delayMs });
  }

  private onReady(): void {
    const downMs =
      this.downSinceMs === undefined ? undefined : Math.round(performance.now() - this.downSinceMs);
    const recovered = this.hasBeenReady && downMs !== undefined;
    const { attempts, folded } = this;
    this.folded = this.attempts = 0;
    this.write('ready', recovered ? { downMs, attempts, folded } : {});
    this.hasBeenReady = true;
    this.written.clear();
    this.downSinceMs = undefined;
  }

  private onEvent(state: LoggedState, details: Details = {}): void {
    if (this.link.isClosing && state !== 'end') {
      this.publish(state, details.code);
      return;
    }
    if (state !== 'connect') this.downSinceMs ??= performance.now();
    const repeated = this.written.has(state) || (state === 'connect' && this.hasBeenReady);
    if (!repeated) {
      this.written.add(state);
      this.write(state, details);
      return;
    }
    this.publish(state, details.code);
    this.folded += 1;
    if (performance.now() - this.lastLineMs >= SUMMARY_EVERY_MS) this.summarise(state, details);
  }

  private summarise(state: LoggedState, details: Details): void {
    const downMs = Math.round(performance.now() - (this.downSinceMs ?? performance.now()));
    this.emit(state, { ...details, downMs, attempts: this.attempts, folded: this.folded });
    this.folded = 0;
  }

  private write(state: LoggedState, details: Details): void {
    this.publish(state, details.code);
    this.emit(state, details);
  }

  private emit(state: LoggedState, details: Details): void {
    if (!this.budget.take()) {
      this.folded += 1;
      this.reportLater();
      return;
    }
    this.lastLineMs = performance.now();
    const line = this.format === 'json' ? this.toRecord(state, details) : this.toLine(state, details);
    this.logger[LEVELS[state]](line);
  }

  /** What a flapping connection did is told once it may write again, with the state it is in by then. */
  private reportLater(): void {
    this.later ??= setTimeout(() => {
      this.later = undefined;
      if (this.link.isClosing) return;
      const { folded, attempts } = this;
      this.folded = this.attempts = 0;
      this.emit(this.link.isReady ? 'ready' : 'reconnecting', { folded, attempts });
    }, LINE_EVERY_MS).unref();
  }

  private publish(state: LoggedState, errorCode?: string): void {
    const { connection, role } = this.link;
    this.diagnostics.publish(() => ({
      connection,
      role,
      state,
      ...(errorCode === undefined ? {} : { errorCode }),
    }));
  }

  private toRecord(state: LoggedState, details: Details): object {
    const { connection, role, target } = this.link;
    return { event: 'redis.connection', state, connection, role, target, ...details };
  }

  private toLine(state: LoggedState, details: Details): string {
    const { connection, role, target } = this.link;
    const notes = [
      details.code,
      details.delayMs === undefined ? undefined : `in ${details.delayMs} ms`,
      details.downMs === undefined ? undefined : `down for ${(details.downMs / 1000).toFixed(1)} s`,
      details.attempts ? `${details.attempts} attempts` : undefined,
      details.folded ? `${details.folded} repeats not shown` : undefined,
    ].filter((note) => note !== undefined);
    const suffix = notes.length > 0 ? ` (${notes.join(', ')})` : '';
    const where = connection === 'default' ? role : `${connection}/${role}`;
    return `${SYMBOLS[state]} ${state} ${where} ${target}${suffix}`;
  }
}
