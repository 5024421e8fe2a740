/**
 * One run of a job, with its abort signal, made when somebody asks for it. A job that lost its lock may come back
 * to the same worker while its first run goes on.
 */
export class JobRun {
  private controller: AbortController | undefined;
  private aborted = false;

  constructor(readonly jobId: string) {}

  /** Aborted when the job should not go on. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.aborted) this.controller.abort();
    return this.controller.signal;
  }

  abort(): void {
    this.aborted = true;
    this.controller?.abort();
  }
}

/** The jobs a worker runs now. */
export class RunningJobs {
  private readonly runs = new Set<JobRun>();
  private wake: (() => void) | undefined;

  get size(): number {
    return this.runs.size;
  }

  begin(jobId: string): JobRun {
    const run = new JobRun(jobId);
    this.runs.add(run);
    return run;
  }

  end(run: JobRun): void {
    this.runs.delete(run);
    if (this.runs.size === 0) this.wake?.();
  }

  /** Aborts the signals of all, or of those of some jobs. */
  abort(jobIds?: readonly string[]): void {
    for (const run of this.runs) {
      if (jobIds === undefined || jobIds.includes(run.jobId)) run.abort();
    }
  }

  /** Resolves when none runs. */
  async idle(): Promise<void> {
    while (this.runs.size > 0) await new Promise<void>((resolve) => (this.wake = resolve));
  }
}
