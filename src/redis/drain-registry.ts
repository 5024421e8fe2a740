import { DIAGNOSTICS, DiagnosticsPublisher, type ShutdownDiagnostic } from '../common/index.js';

/** Something with work in flight that must end before the application stops. */
export interface DrainParticipant {
  /** Shown when it does not end in time. */
  readonly name: string;
  /**
   * Stops intake and resolves when the running work has ended.
   *
   * @param signal aborted when the time for handlers is over
   */
  drain(signal: AbortSignal): Promise<void>;
}

/** Whether new work may start. */
export type DrainState = 'running' | 'draining' | 'drained';

type Destroyable = { onModuleDestroy?: () => unknown };

/**
 * Ends the work of an application before anything that work needs is torn down. The drain begins at
 * the first `onModuleDestroy` of a provider that hosts handlers, whatever the order of imports, and
 * runs once.
 */
export class DrainRegistry {
  private readonly participants = new Set<DrainParticipant>();
  private readonly hosts = new WeakSet<object>();
  private readonly diagnostics = new DiagnosticsPublisher<ShutdownDiagnostic>(DIAGNOSTICS.shutdown);
  private drain: Promise<void> | undefined;
  private current: DrainState = 'running';
  private unfinishedNames: readonly string[] = [];

  constructor(
    /** Time for handlers to end, in milliseconds. */
    private readonly handlersBudgetMs: number,
  ) {}

  /** Current state; readiness answers 503 from `draining` on. */
  get state(): DrainState {
    return this.current;
  }

  /** Participants whose work had not ended when the time was over. */
  get unfinished(): readonly string[] {
    return this.unfinishedNames;
  }

  /** Adds a participant. One that comes after the drain began is drained at once. */
  register(participant: DrainParticipant): void {
    this.participants.add(participant);
    if (this.current !== 'running') void drained(participant, AbortSignal.abort());
  }

  /**
   * Makes the destruction of a provider wait for the drain, so that what it depends on is still
   * there while its handlers run.
   */
  host(instance: object): void {
    if (this.hosts.has(instance)) return;
    this.hosts.add(instance);
    const target = instance as Destroyable;
    const original = target.onModuleDestroy?.bind(instance);
    target.onModuleDestroy = async () => {
      await this.begin();
      await original?.();
    };
  }

  /** Starts the drain, or joins the one that runs. Resolves when all work ended or its time is over. */
  begin(): Promise<void> {
    return (this.drain ??= this.run());
  }

  private async run(): Promise<void> {
    const startedMs = performance.now();
    this.current = 'draining';
    this.publish('draining', startedMs);
    const pending = new Map<DrainParticipant, Promise<void>>();
    const controller = new AbortController();
    for (const participant of this.participants) {
      const done = drained(participant, controller.signal).then(() => void pending.delete(participant));
      pending.set(participant, done);
    }
    const inTime = await settledWithin(pending.values(), this.handlersBudgetMs);
    this.unfinishedNames = [...pending.keys()].map(({ name }) => name);
    if (!inTime) controller.abort();
    this.current = 'drained';
    this.publish(inTime ? 'handlers-done' : 'handlers-timeout', startedMs);
  }

  private publish(phase: ShutdownDiagnostic['phase'], startedMs: number): void {
    this.diagnostics.publish(() => ({ phase, elapsedMs: Math.round(performance.now() - startedMs) }));
  }
}

/** Never rejects: a participant that fails, or throws at once, must not keep the others from ending. */
async function drained(participant: DrainParticipant, signal: AbortSignal): Promise<void> {
  try {
    await participant.drain(signal);
  } catch {
    // Its work has ended as far as the drain is concerned.
  }
}

async function settledWithin(work: Iterable<Promise<void>>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  const inTime = await Promise.race([Promise.all(work).then(() => true), timeout]);
  clearTimeout(timer);
  return inTime;
}
