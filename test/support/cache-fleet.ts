import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CacheOptions, CacheStats } from 'rednest/cache';

const WORKER = fileURLToPath(new URL('./cache-worker.mjs', import.meta.url));

/** Where a fleet's applications connect to, and how their caches are set up. */
export interface FleetOptions {
  readonly url?: string;
  readonly nodes?: readonly string[];
  readonly keyPrefix: string;
  readonly cache?: Pick<
    CacheOptions,
    'memory' | 'coherence' | 'tagCheck' | 'ttl' | 'lease' | 'grace' | 'timeout'
  >;
}

/** What a process says about a stampede it made. */
export interface Stampede {
  /** Numbers of the loads whose values its callers got. */
  readonly numbers: readonly number[];
  /** From the end of the load to its callers' answer, in milliseconds. */
  readonly delayMs: number;
  /** Whether it was the one that loaded. */
  readonly isOwn: boolean;
}

interface Answer {
  id?: number;
  event?: string;
  key?: string;
  value?: unknown;
  error?: string;
}

/** One process of a fleet. */
export class FleetMember {
  private readonly pending = new Map<
    number,
    { resolve: (value: never) => void; reject: (e: Error) => void }
  >();
  private readonly events = new Set<(answer: Answer) => void>();
  private count = 0;
  private readonly ended: Promise<void>;

  constructor(private readonly child: ChildProcess) {
    child.on('message', (answer: Answer) => this.onAnswer(answer));
    this.ended = new Promise((resolve) => child.once('exit', () => resolve()));
    child.once('exit', () => {
      for (const { reject } of this.pending.values()) reject(new Error('the process has ended'));
      this.pending.clear();
    });
  }

  /** Id of the process. */
  get pid(): number {
    return this.child.pid!;
  }

  /** Calls a method of the worker. */
  call<T>(method: string, ...args: unknown[]): Promise<T> {
    const id = (this.count += 1);
    return new Promise<T>((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.child.send({ id, method, args });
    });
  }

  /** Counters of its cache. */
  stats(): Promise<CacheStats> {
    return this.call('stats');
  }

  /** The next event of this kind. */
  next(event: string): Promise<void> {
    return new Promise((resolve) => {
      const listener = (answer: Answer): void => {
        if (answer.event !== event) return;
        this.events.delete(listener);
        resolve();
      };
      this.events.add(listener);
    });
  }

  /** SIGKILL: nothing is given back. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  private onAnswer(answer: Answer): void {
    for (const listener of this.events) listener(answer);
    const waiting = answer.id === undefined ? undefined : this.pending.get(answer.id);
    if (!waiting) return;
    this.pending.delete(answer.id!);
    if (answer.error === undefined) waiting.resolve(answer.value as never);
    else waiting.reject(new Error(answer.error));
  }
}

/** Several processes with a cache on one server. */
export class Fleet {
  private constructor(readonly members: readonly FleetMember[]) {}

  /** Starts them and waits until each is ready. */
  static async start(count: number, options: FleetOptions): Promise<Fleet> {
    const members = Array.from(
      { length: count },
      () =>
        new FleetMember(
          fork(WORKER, [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
        ),
    );
    await Promise.all(members.map((member) => member.next('ready')));
    return new Fleet(members);
  }

  /** All of them do the same at once. */
  all<T>(method: string, ...args: unknown[]): Promise<T[]> {
    return Promise.all(this.members.map((member) => member.call<T>(method, ...args)));
  }

  /** Ends them. */
  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }
}
