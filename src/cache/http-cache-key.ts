import { createHash } from 'node:crypto';
import type { CacheKey } from './cache-key.js';

/** What a response depends on. */
export interface ResponseIdentity {
  readonly method: string;
  /** Class and handler. */
  readonly route: string;
  /** Path and query as sent. */
  readonly url: string;
  /** Values of the declared request headers, in the order of their declaration. */
  readonly vary: readonly (string | undefined)[];
  readonly principal: string | undefined;
}

/**
 * Key of a response. Path, query, headers and principal are digested: they come from outside, may be of
 * any length, and the principal must not be readable in Redis.
 */
export function responseKey(identity: ResponseIdentity): CacheKey {
  const { method, route, url, vary, principal } = identity;
  const parts = [
    url.split('?', 1)[0],
    sortedQuery(url),
    vary.map((value) => value ?? null),
    principal ?? null,
  ];
  return ['http', method, route, digest(JSON.stringify(parts))];
}

/** Pairs by name; those of one name keep their order, which may mean something. */
function sortedQuery(url: string): [string, string][] {
  const start = url.indexOf('?');
  if (start < 0) return [];
  const pairs = [...new URLSearchParams(url.slice(start + 1))];
  return pairs.sort(([a], [b]) => (a < b ? -1 : Number(a > b)));
}

/** 256 bits as 43 characters that every header and key may hold. */
export function digest(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('base64url');
}
