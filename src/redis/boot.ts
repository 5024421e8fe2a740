import type { BootMode, Environment, ResolvedConnection } from '../config/index.js';
import { checkNeeds, checkServer, type BootFinding, type DeclaredNeed } from './boot-checks.js';
import { diagnoseBoot, type BootDiagnosis } from './boot-diagnosis.js';
import { readBootFacts, readStorageFacts } from './boot-facts.js';
import type { BootPlace } from './boot-settings.js';
import { waitUntilReady } from './boot-wait.js';
import type { ConnectionLogger } from './connection-log.js';
import type { ManagedConnection } from './managed-connection.js';
import { RedisBootError } from './redis.errors.js';

/** Longest time the questions after the first connection may take, in milliseconds. */
const CHECK_MS = 2_000;

/** Constructor arguments of {@link ConnectionBoot}. */
export interface ConnectionBootInit {
  readonly link: ManagedConnection;
  /** Absent for a client handed in by the application, whose place is not judged. */
  readonly target: ResolvedConnection | undefined;
  readonly mode: BootMode;
  /** Longest wait, in milliseconds. */
  readonly timeoutMs: number;
  readonly environment: Environment;
  readonly logger: ConnectionLogger;
  /** Ends the wait: start-up was given up elsewhere. */
  readonly signal: AbortSignal;
}

/**
 * The start of one connection: waits for it as the mode says, then checks that it leads to the right
 * kind of server and that the server keeps what the capabilities rely on.
 */
export class ConnectionBoot {
  private readonly place: BootPlace;

  constructor(private readonly init: ConnectionBootInit) {
    this.place = { connection: init.link.connection, target: init.target };
  }

  /**
   * Ends when the connection is usable, or when the mode does without it.
   *
   * @throws {RedisBootError} naming the server, the cause and the fix
   */
  async start(): Promise<void> {
    const { link, mode, timeoutMs, signal } = this.init;
    if (mode === 'lazy') {
      this.checkLater(() => this.checkPlace());
      this.reportFault();
      return;
    }
    const failure = await waitUntilReady({ link, place: this.place, timeoutMs, signal });
    if (!failure) return this.judge(await this.checkPlace());
    if (mode === 'wait' || failure.permanent || signal.aborted) throw this.bootError(failure);
    this.init.logger.warn(
      `${this.describe(failure)}; starting without it, it is used as soon as it is ready`,
    );
    this.checkLater(() => this.checkPlace());
    this.reportFault();
  }

  /**
   * Checks what the capabilities need, now or as soon as the connection is ready.
   *
   * @throws {RedisBootError} when a need is not met in production
   */
  async verify(needs: readonly DeclaredNeed[]): Promise<void> {
    if (needs.length === 0) return;
    const check = () => this.checkNeeds(needs);
    if (this.init.link.isReady) this.judge(await check());
    else this.checkLater(check);
  }

  private async checkPlace(): Promise<BootFinding[]> {
    const { link, target } = this.init;
    const password = target && isDefaultUser(target) ? target.password : undefined;
    const facts = await inTime(readBootFacts(link.client, password));
    return facts ? checkServer(facts, this.place) : [];
  }

  private async checkNeeds(needs: readonly DeclaredNeed[]): Promise<BootFinding[]> {
    const facts = await inTime(readStorageFacts(this.init.link.client));
    return facts ? checkNeeds(facts, needs, this.init.environment) : [];
  }

  /** Logs what is not fatal and throws what is. */
  private judge(findings: readonly BootFinding[]): void {
    const fatal = findings.find(({ level }) => level === 'error');
    if (fatal)
      throw new RedisBootError(
        `${this.name} is not usable: ${fatal.reason}, ${fatal.text}`,
        fatal.reason,
        true,
      );
    this.log(findings);
  }

  /** After the start nothing can be refused any more: faults are logged. */
  private checkLater(check: () => Promise<BootFinding[]>): void {
    this.init.link.client.once('ready', () => {
      if (!this.init.signal.aborted) void check().then((findings) => this.log(findings));
    });
  }

  /** Says once, in the words of the start, what keeps the connection from getting ready. */
  private reportFault(): void {
    const { link, logger } = this.init;
    const { client } = link;
    const stop = (): void => {
      client.off('error', onError);
      client.off('ready', stop);
    };
    const onError = (error: Error): void => {
      const diagnosis = diagnoseBoot(error, this.place);
      if (!diagnosis.permanent) return;
      stop();
      logger.error(this.describe(diagnosis));
    };
    client.on('error', onError);
    client.once('ready', stop);
  }

  private log(findings: readonly BootFinding[]): void {
    const { logger } = this.init;
    for (const { level, text } of findings) {
      const line = `${this.name}: ${text}`;
      if (level === 'error') logger.error(line);
      else if (level === 'warning') logger.warn(line);
      else logger.log(line);
    }
  }

  private bootError(failure: BootDiagnosis): RedisBootError {
    return new RedisBootError(this.describe(failure), failure.reason, failure.permanent);
  }

  private describe({ reason, permanent, advice }: BootDiagnosis): string {
    const waits = !permanent && this.init.mode !== 'lazy';
    const waited = waits ? ` within ${this.init.timeoutMs} ms` : '';
    return `${this.name} did not become ready${waited}: ${reason}, ${advice}`;
  }

  private get name(): string {
    const { link } = this.init;
    return `Redis connection "${link.connection}" (${link.target})`;
  }
}

function isDefaultUser({ username, mode }: ResolvedConnection): boolean {
  return mode !== 'cluster' && (username === undefined || username === 'default');
}

/** `undefined` when the server does not answer: a check must not hold up a start that succeeded. */
async function inTime<T>(answer: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), CHECK_MS);
  });
  try {
    return await Promise.race([answer, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
