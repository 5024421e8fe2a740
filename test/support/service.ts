import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.js';

const MAIN = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'main.js');

/** The reference service as a process of its own, built and started like in production. */
export class ServiceProcess {
  output = '';
  private readonly child: ChildProcess;
  private readonly onExit = (): void => void this.child.kill('SIGKILL');

  /** @param env what the process sees beside PATH; nothing else is passed on */
  constructor(env: Record<string, string>, cwd: string) {
    const { PATH = '' } = process.env;
    this.child = spawn(process.execPath, [MAIN], {
      cwd,
      env: { PATH, PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (data: Buffer) => void (this.output += data.toString()));
    }
    process.once('exit', this.onExit);
  }

  /** Waits until it listens and gives its address. */
  async url(): Promise<string> {
    const match = await eventually(
      'the service listens',
      () => {
        if (this.ended) throw new Error(`the service ended:\n${this.output}`);
        return /Listening on (http:\/\/[\d.]+:\d+)/.exec(this.output) ?? false;
      },
      20_000,
    );
    return match[1]!;
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
