import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineQueue } from 'rednest/queue';
import { z } from 'zod';
import { eventually } from './eventually.js';

const SCRIPT = join(dirname(fileURLToPath(import.meta.url)), 'queue-child-process.mjs');

/** The queue that worker processes of the tests work for. */
export const Work = defineQueue('proc__work', {
  tenant: false,
  jobs: { work: { data: z.object({ kind: z.string(), ms: z.number().optional() }) } },
  attempts: 5,
  backoff: 1,
});

/** The queue their jobs may add to. */
export const Next = defineQueue('proc__next', { tenant: false, jobs: { next: { data: z.unknown() } } });

/** A worker as a process of its own. */
export class WorkerProcess {
  output = '';
  private readonly child: ChildProcess;
  private readonly onExit = (): void => void this.child.kill('SIGKILL');

  constructor(env: Record<string, string>) {
    const { PATH = '' } = process.env;
    this.child = spawn(process.execPath, [SCRIPT], {
      env: { PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (data: Buffer) => void (this.output += data.toString()));
    }
    process.once('exit', this.onExit);
  }

  /** Waits for a line. */
  async says(line: string): Promise<void> {
    await eventually(
      `the worker says "${line}"`,
      () => {
        if (this.output.includes(line)) return true;
        if (this.ended) throw new Error(`the worker ended:\n${this.output}`);
        return false;
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
