import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestProcess } from './test-process.js';

const MAIN = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'main.js');

/** The reference service as a process of its own, built and started like in production. */
export class ServiceProcess extends TestProcess {
  constructor(env: Record<string, string>, cwd: string) {
    super(MAIN, { PORT: '0', ...env }, cwd);
  }

  /** Waits until it listens and gives its address. */
  async url(): Promise<string> {
    const match = await this.until('the service listens', () =>
      /Listening on (http:\/\/[\d.]+:\d+)/.exec(this.output),
    );
    return match[1]!;
  }
}
