import { types } from 'node:util';
import { digest } from './http-cache-key.js';
import type { HttpExchange } from './http-exchange.js';

/** A response as it is kept. */
export interface StoredResponse {
  /** What the handler returned. */
  readonly body: unknown;
  readonly etag: string;
  /** Headers the handler set. */
  readonly headers: Readonly<Record<string, string>>;
  /** Tells one load from the next, even when the bodies are equal. */
  readonly loadId: string;
}

/** Why a response is not kept. */
export type Refusal = 'sent' | 'status' | 'body' | 'undefined' | 'set-cookie' | 'cache-control' | 'vary';

/** A response that was handed out without being kept; others who waited for it need one of their own. */
export class RefusedResponse {
  constructor(
    /** What the handler threw, when the request was at fault: the answer to everybody who sent the same. */
    readonly error?: { readonly value: unknown },
  ) {}
}

/**
 * Why the response of a handler that has just run must not be kept; `undefined` when it may.
 *
 * @param rules `known`: request headers that the key, or whoever sets them, takes care of
 */
export function refusalOf(
  exchange: HttpExchange,
  body: unknown,
  rules: { readonly known: ReadonlySet<string>; readonly hasPrincipal: boolean },
): Refusal | undefined {
  if (exchange.isResponse(body)) return 'sent';
  if (exchange.isSent && !exchange.isAnswered) return 'sent';
  if (exchange.handlerStatus !== 200) return 'status';
  if (body === undefined) return 'undefined';
  if (!isPlainBody(body)) return 'body';
  if (exchange.responseHeader('set-cookie') !== undefined && !rules.hasPrincipal) return 'set-cookie';
  if (forbidsKeeping(exchange.handlerHeader('cache-control'), rules.hasPrincipal)) return 'cache-control';
  return variesBeyond(rules.known, exchange) ? 'vary' : undefined;
}

/** Validator of a body as it will be sent. Weak: a proxy may compress it. */
export function entityTag(body: unknown): string {
  const data = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  return `W/"${digest(data)}"`;
}

/** Whether `If-None-Match` names a validator (RFC 9110, weak comparison). */
export function matchesTag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  const bare = etag.replace(/^W\//, '');
  const given: readonly string[] = ifNoneMatch.match(/"[^"]*"/g) ?? [];
  return given.includes(bare);
}

/** Names of a list field, in lower case. */
export function fieldNames(value: string | undefined): string[] {
  return (value ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
}

/** Whether caches on the way may keep a response for anybody. */
export function isForSharedCaches(cacheControl: string | undefined): boolean {
  const directives = fieldNames(cacheControl).map((directive) => directive.split('=', 1)[0]);
  return !directives.includes('private') && !directives.includes('no-store');
}

function forbidsKeeping(cacheControl: string | undefined, hasPrincipal: boolean): boolean {
  const directives = fieldNames(cacheControl).map((directive) => directive.split('=', 1)[0]);
  if (directives.includes('no-store') || directives.includes('no-cache')) return true;
  return directives.includes('private') && !hasPrincipal;
}

/** Whether `Vary`, from handler or middleware, names a request header beyond the known ones. */
export function variesBeyond(known: ReadonlySet<string>, exchange: HttpExchange): boolean {
  return fieldNames(exchange.responseHeader('vary')).some((name) => !known.has(name));
}

const MAX_DEPTH = 64;

/**
 * Whether a body comes back from the cache as the handler returned it. Instances of classes do not: a
 * serializer further out, which hides fields by class, would no longer recognise them.
 */
function isPlainBody(body: unknown): boolean {
  return types.isUint8Array(body) || isPlain(body, 0);
}

function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'undefined':
      return true;
    case 'object':
      break;
    default:
      return false;
  }
  if (value === null || types.isDate(value)) return true;
  if (depth >= MAX_DEPTH) return false;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return false;
  return Object.values(value).every((item) => isPlain(item, depth + 1));
}
