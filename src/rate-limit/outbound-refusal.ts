import { parseList } from 'structured-headers';
import { objectOf, textOf } from './context-values.js';
import type { Properties } from './context-adapter.js';

/** A provider's refusal. `retryAfterMs` is `undefined` when it does not say how long. */
export interface ProviderRefusal {
  readonly retryAfterMs: number | undefined;
}

/** Longer is not believed. */
const LONGEST_MS = 86_400_000;

/**
 * Whether a value is a provider's answer that says "too many calls", or an error that carries one: status 429, or
 * 503 with a time to wait. Knows the shapes of `fetch`, undici, axios and got.
 */
export function refusalOf(value: unknown, nowMs: number): ProviderRefusal | undefined {
  const outer = objectOf(value);
  for (const answer of [outer, objectOf(outer?.['response'])]) {
    const status = answer?.['status'] ?? answer?.['statusCode'];
    if (status !== 429 && status !== 503) continue;
    const retryAfterMs = waitOf(answer!, nowMs);
    if (status === 429 || retryAfterMs !== undefined) return { retryAfterMs };
  }
  return undefined;
}

/** Nobody gets to see the answer: the body of a `fetch` response, left unread, would keep its connection. */
export function discard(answer: unknown): void {
  const body = objectOf(answer)?.['body'];
  if (body instanceof ReadableStream) body.cancel().catch(() => undefined);
}

function waitOf(answer: Properties, nowMs: number): number | undefined {
  const ms =
    fromRetryAfter(headerOf(answer, 'retry-after'), nowMs) ?? fromRateLimit(headerOf(answer, 'ratelimit'));
  return ms === undefined ? undefined : Math.min(Math.max(ms, 1), LONGEST_MS);
}

function headerOf(answer: Properties, name: string): string | undefined {
  const headers = objectOf(answer['headers']);
  if (!headers) return undefined;
  const get = headers['get'];
  if (typeof get === 'function') return textOf(get.call(headers, name));
  return textOf(headers[name]);
}

/** Seconds, or a date. @see https://www.rfc-editor.org/rfc/rfc9110#field.retry-after */
function fromRetryAfter(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}

/** The longest `t` of the policies that have nothing left. */
function fromRateLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    const seconds = parseList(text).flatMap(([, parameters]) => {
      const t = parameters.get('t');
      return parameters.get('r') === 0 && typeof t === 'number' ? [t] : [];
    });
    return seconds.length === 0 ? undefined : Math.max(...seconds) * 1000;
  } catch {
    // Not in the form of the draft.
    return undefined;
  }
}
