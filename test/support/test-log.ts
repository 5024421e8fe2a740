import type { ConnectionLogger } from 'rednest';

/** Collects log lines instead of printing them. */
export class TestLog implements ConnectionLogger {
  readonly lines: { level: 'log' | 'warn' | 'error'; message: unknown }[] = [];

  log(message: unknown): void {
    this.lines.push({ level: 'log', message });
  }

  warn(message: unknown): void {
    this.lines.push({ level: 'warn', message });
  }

  error(message: unknown): void {
    this.lines.push({ level: 'error', message });
  }

  /** Everything written so far as one text. */
  get text(): string {
    return this.lines
      .map(({ message }) => (typeof message === 'string' ? message : JSON.stringify(message)))
      .join('\n');
  }
}
