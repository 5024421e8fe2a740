import type { Outcome } from '../common/index.js';
import { wasNeverWritten } from './never-written.js';
import {
  RedisCallError,
  RedisCommandError,
  RedisTimeoutError,
  RedisUnavailableError,
} from './redis.errors.js';

interface ClientError {
  name?: unknown;
  message?: unknown;
  code?: unknown;
}

/** The call an error belongs to. */
export interface FailedCall {
  connection: string;
  operation: string;
  deadlineMs: number;
  /** The call threw before it could send anything. @default false */
  neverSent?: boolean;
}

/** Replies that mean "not now, not here" rather than "this command is wrong". */
const UNAVAILABLE_REPLIES = new Set(['LOADING', 'CLUSTERDOWN', 'MASTERDOWN', 'TRYAGAIN']);

/**
 * Turns whatever the client threw into one of our errors. Command names and arguments, which the
 * client attaches to its errors, do not survive.
 */
export function toCallError(error: unknown, call: FailedCall): RedisCallError {
  if (error instanceof RedisCallError) return error;
  const { name, message, code } = describe(error);
  const { connection, operation } = call;
  const context = (outcome: Outcome) => ({ connection, operation, outcome });
  if (name === 'ReplyError') {
    const reply = /^[A-Z]+/.exec(message)?.[0] ?? 'ERR';
    return UNAVAILABLE_REPLIES.has(reply)
      ? new RedisUnavailableError(safeReply(message), context('refused'))
      : new RedisCommandError(
          reply,
          safeReply(message),
          context(brokeOff(reply, message) ? 'unknown' : 'refused'),
        );
  }
  if (message === 'Command timed out') return new RedisTimeoutError(call.deadlineMs, context('unknown'));
  if (wasNeverWritten(error) || neverWritten(message))
    return new RedisUnavailableError('not connected', context('not-sent'));
  if (endlesslyRedirected(message))
    return new RedisUnavailableError('too many redirections', context('refused'));
  if (isTransportError(name, message, code)) {
    return new RedisUnavailableError(code || 'connection lost', context('unknown'));
  }
  return new RedisCommandError('ERR', safeReply(message), context(call.neverSent ? 'not-sent' : 'unknown'));
}

/** Refusals that come before a script has written anything. */
const BEFORE_SCRIPT = new Set(['OOM', 'NOSCRIPT', 'READONLY', 'BUSY', 'NOPERM', 'MISCONF', 'NOREPLICAS']);

/** A script that fails half way keeps what it wrote; the reply of such a failure names the script. */
function brokeOff(reply: string, message: string): boolean {
  return !BEFORE_SCRIPT.has(reply) && /script: [0-9a-f]{40}|\(call to f_[0-9a-f]{40}\)/.test(message);
}

function describe(error: unknown): { name: string; message: string; code: string } {
  const { name, message, code } = (typeof error === 'object' && error ? error : {}) as ClientError;
  return {
    name: typeof name === 'string' ? name : '',
    message: typeof message === 'string' ? message : 'unknown error',
    code: typeof code === 'string' ? code : '',
  };
}

function neverWritten(message: string): boolean {
  return /^(Stream isn't writeable|Cluster isn't ready) and enableOfflineQueue/.test(message);
}

/** Every node that was asked refused the command; the last one for a reason that is no lost connection. */
function endlesslyRedirected(message: string): boolean {
  return /^Too many Cluster redirections\. Last error: (?:ReplyError: )?(?:MOVED|ASK|TRYAGAIN|CLUSTERDOWN) /.test(
    message,
  );
}

/** Errors of the system and of Node's sockets; `ERR_CONFIGURATION` and its like are not. */
const TRANSPORT_CODE = /^(?:E(?!RR_)[A-Z0-9_]+|ERR_(?:SOCKET|SSL|STREAM|TLS)_[A-Z0-9_]+)$/;

function isTransportError(name: string, message: string, code: string): boolean {
  return (
    name === 'MaxRetriesPerRequestError' ||
    name === 'AbortError' ||
    name === 'ClusterAllFailedError' ||
    message === 'Connection is closed.' ||
    message.startsWith('Socket timeout') ||
    TRANSPORT_CODE.test(code)
  );
}

/**
 * From the first quote that opens to the last of its kind, since what is quoted may hold quotes; an
 * apostrophe within a word opens nothing. Without a closing quote everything after it goes.
 */
const QUOTED = /(?<!\w)(['"`])(?:.*\1|.*$)/gs;

/** Keeps what the server says about the fault and masks what it quotes from the command. */
export function safeReply(message: string): string {
  return message
    .split(/,? with args beginning with/)[0]!
    .replace(QUOTED, "'...'")
    .replace(/\s+/g, ' ')
    .slice(0, 200);
}
