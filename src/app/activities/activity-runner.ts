import { Injectable, ServiceUnavailableException } from '@nestjs/common';
import { DrainRegistry, type DrainParticipant } from 'rednest';
import type { ActivityRun } from './activity.js';
import { ActivityExecutor } from './activity-executor.js';

/** Has runs of activities done. */
export abstract class ActivityRunner {
  /** Takes a run; resolves when it will be done, not when it is. */
  abstract start(run: ActivityRun): Promise<void>;
}

/** Does the work in this process, and waits for it when the process stops. */
@Injectable()
export class InProcessActivityRunner extends ActivityRunner implements DrainParticipant {
  readonly name = 'activities';
  private readonly running = new Set<Promise<void>>();
  private readonly stop = new AbortController();
  private isDraining = false;

  constructor(
    private readonly executor: ActivityExecutor,
    drain: DrainRegistry,
  ) {
    super();
    drain.register(this);
  }

  override async start(run: ActivityRun): Promise<void> {
    if (this.isDraining) throw new ServiceUnavailableException('The service is stopping');
    const work = this.executor.execute(run, this.stop.signal).finally(() => this.running.delete(work));
    this.running.add(work);
  }

  /** Waits for the runs; what has not ended when the time is over is aborted. */
  async drain(signal: AbortSignal): Promise<void> {
    this.isDraining = true;
    const abort = (): void => this.stop.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    await Promise.all(this.running);
    signal.removeEventListener('abort', abort);
  }
}
