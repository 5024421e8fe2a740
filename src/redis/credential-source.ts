import { inspect } from 'node:util';
import { backoffDelayMs } from '../common/index.js';
import type { CredentialProvider, ProvidedCredentials } from '../config/index.js';
import { RedisCredentialsError } from './credentials.errors.js';

/** User name and password as a client takes them. */
export interface Login {
  readonly username?: string;
  readonly password: string;
}

/** What a {@link CredentialSource} tells its owner. */
export interface CredentialEvents {
  /** New credentials are in force: open connections must log in again. */
  onRenewed(): void;
  /** The function failed; reported once until it works again. `reason` holds no secret. */
  onFailed(reason: string): void;
  /** The function works again. */
  onRecovered(): void;
}

/** Time one call of the function may take, in milliseconds. */
const ASK_DEADLINE_MS = 5_000;

/** Least time between questions of lost connections, in milliseconds; doubles until one is back. */
const ASK_INTERVAL = Object.freeze({ firstMs: 100, maxMs: 5_000 });

/** Longest margin before the expiry, in milliseconds. */
const MAX_MARGIN_MS = 5 * 60_000;

/** Longest wait a timer of Node can do. */
const MAX_TIMER_MS = 2 ** 31 - 1;

const RETRY = Object.freeze({ baseMs: 1_000, capMs: 30_000 });

/**
 * Holds the login of one connection: asks for it, again before it expires, and again, with back-off,
 * when asking failed. One question at a time. Prints without its secrets.
 */
export class CredentialSource {
  readonly #provider: CredentialProvider;
  #login: Login | undefined;
  private generation = 0;
  private expiresAtMs = Infinity;
  private failures = 0;
  private refusals = 0;
  private losses = 0;
  private askedAtMs = -Infinity;
  private asking: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  /** Ends the wait for the answer that is due. */
  private giveUp: (() => void) | undefined;

  constructor(
    private readonly connection: string,
    provider: CredentialProvider,
    private readonly events: CredentialEvents,
  ) {
    this.#provider = provider;
  }

  /** The login in force; `undefined` before the first answer. */
  get login(): Login | undefined {
    return this.#login;
  }

  /** Grows with every renewal. */
  get version(): number {
    return this.generation;
  }

  /**
   * Asks for the first login, and keeps it fresh from then on, also when this first question fails.
   *
   * @throws {RedisCredentialsError} when the function fails or is slower than `deadlineMs`
   */
  async start(deadlineMs: number): Promise<void> {
    const reason = await this.renew(true, Math.min(deadlineMs, ASK_DEADLINE_MS));
    if (reason) throw new RedisCredentialsError(this.connection, reason);
  }

  /**
   * A connection was lost, or its login refused: the login may have changed. All connections of an
   * outage share one rhythm: after 100 ms, 200 ms, and so on up to every 5 s.
   */
  ask(): void {
    const intervalMs = Math.min(ASK_INTERVAL.firstMs * 2 ** this.losses, ASK_INTERVAL.maxMs);
    if (this.asking || performance.now() - this.askedAtMs < intervalMs) return;
    this.losses += 1;
    void this.renew(false);
  }

  /**
   * The server refused the login in force: asks again later, with back-off.
   *
   * @returns whether this is the first time since a login was accepted
   */
  refused(): boolean {
    this.refusals += 1;
    this.schedule(backoffDelayMs(this.refusals, RETRY));
    return this.refusals === 1;
  }

  /** The server took the login in force. */
  accepted(): void {
    this.refusals = this.losses = 0;
  }

  /** Ends asking for good. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.giveUp?.();
  }

  /** @internal */
  toJSON(): object {
    return { connection: this.connection, version: this.generation, failures: this.failures };
  }

  /** @internal */
  [inspect.custom](): object {
    return this.toJSON();
  }

  /** @returns why it failed; `undefined` when it did not */
  private async renew(isDue: boolean, deadlineMs = ASK_DEADLINE_MS): Promise<string | undefined> {
    if (this.stopped || this.asking) return undefined;
    let reason: string | undefined;
    this.askedAtMs = performance.now();
    this.asking = this.question(deadlineMs).then(
      (answer) => this.accept(answer, isDue),
      (error: unknown) => {
        reason = reasonOf(error);
        this.failed(reason);
      },
    );
    await this.asking;
    this.asking = undefined;
    return reason;
  }

  private async question(deadlineMs: number): Promise<ProvidedCredentials> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      const end = (code: string): void => reject(new Fault(code));
      timer = setTimeout(end, deadlineMs, 'ETIMEDOUT');
      this.giveUp = () => end('STOPPED');
    });
    const answer = (async () => this.#provider())();
    try {
      return checkAnswer(await Promise.race([answer, deadline]));
    } finally {
      clearTimeout(timer);
      this.giveUp = undefined;
    }
  }

  private accept(answer: ProvidedCredentials, isDue: boolean): void {
    if (this.stopped) return;
    const { username, password, expiresAt } = answer;
    const isNew = this.#login?.password !== password || this.#login?.username !== username;
    this.#login = { ...(username === undefined ? {} : { username }), password };
    this.expiresAtMs = expiresAt === undefined ? Infinity : Number(expiresAt);
    if (this.failures > 0) this.events.onRecovered();
    this.failures = 0;
    this.schedule(renewalDelayMs(this.expiresAtMs - Date.now()));
    // Servers that end sessions count from the last login, so a renewed term needs a new one.
    if (!isNew && !isDue) return;
    this.generation += 1;
    this.events.onRenewed();
  }

  private failed(reason: string): void {
    if (this.stopped) return;
    this.failures += 1;
    if (this.failures === 1) this.events.onFailed(reason);
    this.schedule(backoffDelayMs(this.failures, RETRY));
  }

  private schedule(waitMs: number): void {
    clearTimeout(this.timer);
    if (this.stopped || waitMs === Infinity) return;
    const restMs = waitMs - MAX_TIMER_MS;
    const next = () => (restMs > 0 ? this.schedule(restMs) : void this.renew(true));
    this.timer = setTimeout(next, Math.min(waitMs, MAX_TIMER_MS));
    this.timer.unref();
  }
}

/**
 * When to ask again: a quarter to a half of the remaining time before the end, at most 5 to 10 minutes
 * before, spread so that the processes of a service do not ask at once.
 */
export function renewalDelayMs(remainingMs: number, random: () => number = Math.random): number {
  if (remainingMs === Infinity) return Infinity;
  const marginMs = Math.min(remainingMs / 4, MAX_MARGIN_MS) * (1 + random());
  return Math.max(0, Math.round(remainingMs - marginMs));
}

/** A failure with a code that is safe to print. */
class Fault extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}

function checkAnswer(answer: ProvidedCredentials | null | undefined): ProvidedCredentials {
  const { username, password, expiresAt } = answer ?? ({} as Partial<ProvidedCredentials>);
  const isText = (value: unknown) => typeof value === 'string' && value !== '';
  if (!isText(password) || (username !== undefined && !isText(username))) throw new Fault('INVALID');
  if (expiresAt === undefined) return answer!;
  const endsAtMs = Number(expiresAt);
  if (!Number.isFinite(endsAtMs)) throw new Fault('INVALID');
  if (endsAtMs <= Date.now()) throw new Fault('EXPIRED');
  return answer!;
}

/** Code or class of an error. The message stays out: a provider may have put anything into it. */
function reasonOf(error: unknown): string {
  const { code, name } = (typeof error === 'object' && error ? error : {}) as {
    code?: unknown;
    name?: unknown;
  };
  const safe = [code, name].find((text) => typeof text === 'string' && /^[A-Za-z][\w.-]{0,40}$/.test(text));
  return typeof safe === 'string' ? safe : 'Error';
}
