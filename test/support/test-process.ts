import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { eventually } from './eventually.js';

/** A script as a process of its own. It ends with this process at the latest. */
export class TestProcess {
  /** Everything it has written so far. */
  output = '';
  private readonly child: ChildProcess;
  private readonly onExit = (): void => void this.child.kill('SIGKILL');

  /** @param env what the process sees beside PATH; nothing else is passed on */
  constructor(script: string, env: Record<string, string>, cwd?: string) {
    const { PATH = '' } = process.env;
    this.child = spawn(process.execPath, [script], {
      cwd,
      env: { PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (data: Buffer) => void (this.output += data.toString()));
    }
    process.once('exit', this.onExit);
  }

  /** Waits until it has written a text. */
  async says(text: string): Promise<void> {
    await this.until(`the process says "${text}"`, () => this.output.includes(text));
  }

  /** Waits for what `look` finds; the end of the process ends that. */
  protected until<T>(what: string, look: () => T): Promise<Exclude<T, false | null | undefined>> {
    return eventually(
      what,
      () => {
        const found = look();
        if (!found && this.ended) throw new Error(`the process ended:\n${this.output}`);
        return found;
      },
      20_000,
    );
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits for the end of the process. */
  async exit(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    if (!this.ended) await once(this.child, 'close');
    process.off('exit', this.onExit);
    return { code: this.child.exitCode, signal: this.child.signalCode };
  }

  /** Ends the process whatever it does. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exit();
  }
}
