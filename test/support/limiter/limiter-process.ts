import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ConcurrencyPolicy, Policy, RateLimitModuleOptions, RateLimitSource } from 'rednest/rate-limit';

const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));

/** Answer of the worker. */
interface Answer {
  readonly result?: unknown;
  readonly error?: string;
}

/** What a flood let through, and when it ran by the machine's clock. */
export interface FloodResult {
  readonly admitted: number;
  readonly startMs: number;
  readonly endMs: number;
}

/** How long one request took, by the monotonic clock of the process. */
export interface WatchedCall {
  readonly startedMs: number;
  readonly endedMs: number;
  readonly source: RateLimitSource;
  /** How long after a timer of the limiter's `timeout`, started together with the call, it ended; 0 when before. */
  readonly afterTimerMs: number;
  /** Whether it ended in the turn of the event loop in which it began. */
  readonly sameTurn: boolean;
}

/** A process of its own with a `RateLimiter`, from the built package. Close it in the test. */
export class LimiterProcess {
  private readonly onExit = (): void => void this.child.kill('SIGKILL');

  private constructor(private readonly child: ChildProcess) {
    process.once('exit', this.onExit);
  }

  /** Starts the process and waits until it is connected. */
  static async start(
    url: string,
    keyPrefix: string,
    options: RateLimitModuleOptions = { timeout: '10s', onError: 'closed', denyCache: false },
  ): Promise<LimiterProcess> {
    const settings = JSON.stringify({ url, keyPrefix, options });
    const child = fork(WORKER, [settings], { stdio: 'ignore', execArgv: [] });
    const worker = new LimiterProcess(child);
    await worker.answer();
    return worker;
  }

  /** Sends requests on one key, several at a time. */
  async flood(id: string, policy: Policy, count: number, lanes = 64): Promise<FloodResult> {
    return (await this.order({ what: 'flood', id, policy, count, lanes })) as FloodResult;
  }

  /** Sends requests one after the other; the times of those that were admitted. */
  async stream(id: string, policy: Policy, forMs: number): Promise<readonly (readonly [number, number])[]> {
    const { admitted } = (await this.order({ what: 'stream', id, policy, forMs })) as {
      admitted: [number, number][];
    };
    return admitted;
  }

  /** Begins some requests every few milliseconds, and tells how each of them went. */
  async watch(id: string, policy: Policy, forMs: number, timeoutMs: number): Promise<readonly WatchedCall[]> {
    return (await this.order({ what: 'watch', id, policy, forMs, timeoutMs })) as WatchedCall[];
  }

  /** Takes a slot of a concurrency limit, and holds it. */
  async hold(id: string, policy: ConcurrencyPolicy): Promise<void> {
    await this.order({ what: 'hold', id, policy });
  }

  /** SIGKILL, and waits for the end. */
  async kill(): Promise<void> {
    process.off('exit', this.onExit);
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }

  private async order(order: object): Promise<unknown> {
    this.child.send(order);
    return this.answer();
  }

  private async answer(): Promise<unknown> {
    const ended = once(this.child, 'exit').then((): Answer => ({ error: 'the worker ended' }));
    const [answer] = await Promise.race([
      once(this.child, 'message') as Promise<[Answer]>,
      ended.then((error) => [error] as const),
    ]);
    if (answer.error) throw new Error(answer.error);
    return answer.result;
  }
}
