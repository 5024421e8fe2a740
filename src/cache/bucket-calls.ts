import { isRednestError } from '../common/index.js';
import {
  RedisUnavailableError,
  type LuaScript,
  type RedisClient,
  type RedisExecutor,
  type ScriptArguments,
} from '../redis/index.js';
import type { Bucket } from './cache-key.js';
import { ADOPT } from './cache.scripts.js';
import type { Coherence } from './coherence.js';
import { raceTimeout, TIMED_OUT } from './race-timeout.js';
import type { ServerIdentity } from './server-identity.js';

/** What a {@link BucketCalls} is built from. */
export interface BucketCallsInit {
  /** Name of the connection, for errors. */
  readonly connection: string;
  readonly executor: RedisExecutor;
  readonly identity: ServerIdentity;
  readonly coherence: Coherence;
}

/** Client with replies as bytes, which the typed one lacks for scripts; it flattens arrays by itself. */
interface ByteClient {
  evalshaBuffer(sha1: string, keys: number, parts: ScriptArguments): Promise<unknown>;
  evalBuffer(lua: string, keys: number, parts: ScriptArguments): Promise<unknown>;
}

/** The part of a script that running it needs. */
type ReplyScript<Reply> = Pick<LuaScript<ScriptArguments, ScriptArguments, Reply>, 'sha1' | 'lua'> & {
  readonly types?: { readonly reply: Reply };
};

/** One run of a script. A class for the reason of `listOf`. */
class ScriptCall<Reply> {
  constructor(
    readonly operation: string,
    readonly script: ReplyScript<Reply>,
    readonly bucket: Bucket,
    /** How many of the parts are keys. */
    readonly keys: number,
    readonly parts: ScriptArguments,
    readonly timeoutMs: number,
    readonly idempotent: boolean,
  ) {}
}

/** What a call finds when the server may have changed since its bucket was compared with it. */
const UNKNOWN_SERVER = Symbol('unknown server');
const EPOCH_RETRIES = 3;

/**
 * Calls about one bucket, which reach a server only after it was compared with the one that kept the
 * bucket's state: what another server kept is not to be believed. Everything here rejects with the errors of
 * the executor.
 */
export class BucketCalls {
  constructor(private readonly init: BucketCallsInit) {}

  /** The usual case is one call and one promise; what is rare has a path of its own. */
  run<Reply>(
    operation: string,
    script: ReplyScript<Reply>,
    bucket: Bucket,
    keys: number,
    parts: ScriptArguments,
    timeoutMs: number,
    idempotent = false,
  ): Promise<Reply> {
    bucket.unsent?.leave();
    const { executor, identity, coherence } = this.init;
    // The server did not answer when it was asked; until it has, copies are not served.
    if (!coherence.hasStarted) void coherence.start().catch(() => undefined);
    const call = new ScriptCall(operation, script, bucket, keys, parts, timeoutMs, idempotent);
    if (!identity.knows(bucket)) return this.runCarefully(call);
    // Looked at again when the call leaves: without a connection it may have waited.
    const send = (client: RedisClient): Promise<unknown> =>
      identity.knows(bucket) ? sendScript(client, call) : Promise.resolve(UNKNOWN_SERVER);
    return executor.run(operation, send, { deadlineMs: timeoutMs, idempotent }).then(
      (reply) => (reply === UNKNOWN_SERVER ? this.runCarefully(call) : (reply as Reply)),
      (error: unknown) => {
        if (isUnknownScript(error)) return this.sendSource(call);
        throw error;
      },
    );
  }

  /** Runs a plain command. @returns `undefined`, unsent, when the server may have changed */
  command<Reply>(
    operation: string,
    bucket: Bucket,
    command: (client: RedisClient) => Promise<Reply>,
    timeoutMs: number,
  ): Promise<Reply | undefined> {
    bucket.unsent?.leave();
    const { executor, identity } = this.init;
    const send = (client: RedisClient): Promise<Reply | undefined> =>
      identity.knows(bucket) ? command(client) : Promise.resolve(undefined);
    return executor.run(operation, send, { deadlineMs: timeoutMs, idempotent: true });
  }

  /** Compares the server with the one that kept the bucket's state; callers share it. */
  private adopt(bucket: Bucket, timeoutMs: number): Promise<void> {
    bucket.adopting ??= this.adoptNow(bucket, timeoutMs).finally(() => (bucket.adopting = undefined));
    return bucket.adopting;
  }

  private async adoptNow(bucket: Bucket, timeoutMs: number): Promise<void> {
    const { identity, coherence } = this.init;
    await coherence.start();
    const { epoch } = identity;
    const parts = [bucket.state, bucket.all, coherence.tellChannel];
    await this.sendSource(new ScriptCall('cache.adopt', ADOPT, bucket, 2, parts, timeoutMs, true));
    bucket.scripts.clear();
    bucket.adoptedIn = epoch;
  }

  private async runCarefully<Reply>(call: ScriptCall<Reply>): Promise<Reply> {
    const { executor, identity } = this.init;
    const { operation, bucket, timeoutMs, idempotent } = call;
    // One deadline for all of it; a comparison that takes longer ends for those who come later.
    const endMs = performance.now() + timeoutMs;
    const leftMs = (): number => Math.max(1, Math.ceil(endMs - performance.now()));
    const send = (client: RedisClient): Promise<unknown> =>
      identity.knows(bucket) ? sendScript(client, call) : Promise.resolve(UNKNOWN_SERVER);
    for (let attempt = 0; attempt < EPOCH_RETRIES; attempt += 1) {
      if (!identity.knows(bucket)) {
        const adopted = await raceTimeout(this.adopt(bucket, timeoutMs), leftMs());
        if (adopted === TIMED_OUT) throw this.notSent(operation, `no answer within ${timeoutMs} ms`);
      }
      try {
        const reply = await executor.run(operation, send, { deadlineMs: leftMs(), idempotent });
        if (reply !== UNKNOWN_SERVER) return reply as Reply;
      } catch (error) {
        if (isUnknownScript(error)) return this.sendSource(call, leftMs());
        throw error;
      }
    }
    throw this.notSent(operation, 'the connection keeps changing');
  }

  private sendSource<Reply>(call: ScriptCall<Reply>, timeoutMs = call.timeoutMs): Promise<Reply> {
    const { operation, script, bucket, idempotent } = call;
    bucket.scripts.delete(script.sha1);
    const send = (client: RedisClient): Promise<unknown> => sendScript(client, call);
    return this.init.executor.run(operation, send, { deadlineMs: timeoutMs, idempotent }) as Promise<Reply>;
  }

  private notSent(operation: string, reason: string): RedisUnavailableError {
    const { connection } = this.init;
    return new RedisUnavailableError(reason, {
      connection,
      operation,
      outcome: 'not-sent',
    });
  }
}

/**
 * Sends the hash once the server has run the source for this bucket. To try the hash first would cost a
 * round trip when it is not known, and put a write behind others that were asked for later.
 */
function sendScript<Reply>(client: RedisClient, call: ScriptCall<Reply>): Promise<unknown> {
  const { script, bucket, keys, parts } = call;
  const bytes = client as unknown as ByteClient;
  if (bucket.scripts.has(script.sha1)) return bytes.evalshaBuffer(script.sha1, keys, parts);
  return bytes.evalBuffer(script.lua, keys, parts).then((reply) => {
    bucket.scripts.add(script.sha1);
    return reply;
  });
}

function isUnknownScript(error: unknown): boolean {
  return replyOf(error) === 'NOSCRIPT';
}

/** How the server began its refusal, if that is what an error is. */
export function replyOf(error: unknown): string | undefined {
  return isRednestError(error) ? (error as { reply?: string }).reply : undefined;
}
