import { createHash } from 'node:crypto';
import type { CacheKey } from './cache-key.js';

/** What a response depends on. */
export interface ResponseIdentity {
  readonly method: string;
  /** Class and handler. */
  readonly route: string;
  /** What `@Version` says: two classes of one name may answer one URL, told apart by a header. */
  readonly version: string | undefined;
  /** Host the client asked for: one process may serve several, with different answers. */
  readonly host: string;
  /** Path and query as sent. */
  readonly url: string;
  /** Values of the declared request headers, in the order of their declaration. */
  readonly vary: readonly (string | undefined)[];
  readonly principal: string | undefined;
}

/**
 * Key of a response. Host, path, query, headers and principal are digested: they come from outside, may be of
 * any length, and the principal must not be readable in Redis.
 */
export function responseKey(identity: ResponseIdentity): CacheKey {
  const { method, route, version, host, url, vary, principal } = identity;
  const parts = [
    version ?? null,
    host,
    url.split('?', 1)[0],
    sortedQuery(url),
    vary.map((value) => value ?? null),
    principal ?? null,
  ];
  return ['http', method, route, digest(JSON.stringify(parts))];
}

/**
 * Pairs as they were sent: what decodes to the same text here need not do so in a handler. By name; those of
 * one name keep their order, which may mean something, and `a[]`, `a[0]` and `a` may be one name.
 */
function sortedQuery(url: string): string[] {
  const start = url.indexOf('?');
  if (start < 0) return [];
  const pairs = url
    .slice(start + 1)
    .split('&')
    .map((pair) => ({ pair, name: nameOf(pair) }));
  return pairs.sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name))).map(({ pair }) => pair);
}

function nameOf(pair: string): string {
  const [name = ''] = new URLSearchParams(pair).keys();
  return name.split('[', 1)[0]!;
}

/** 256 bits as 43 characters that every header and key may hold. */
export function digest(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('base64url');
}
