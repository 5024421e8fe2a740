import type { ExecutionContext } from '@nestjs/common';
import { ConfigurationError } from '../common/index.js';

/** Finds an identity of a request; `undefined` when it has none. */
export type RateLimitIdentify = (context: ExecutionContext) => string | undefined;

/** Where identities come from; see {@link RateLimitRequestOptions.identify}. */
export interface RateLimitIdentifiers {
  /** User of a request. @default `id`, `sub` or `userId` of `request.user` */
  user?: RateLimitIdentify;
  /** Tenant of a request. @default `request.tenantId`, or `tenantId` of `request.user` */
  tenant?: RateLimitIdentify;
  /** API key of a request; kept as a hash only. @default the header `x-api-key` */
  apiKey?: RateLimitIdentify;
}

/** Which header fields go out. */
export interface RateLimitHeaders {
  /**
   * The `RateLimit` field: the policy with the least left, every policy, or neither it nor `RateLimit-Policy`. A
   * refusal always tells about the policies that refuse. @default 'tightest'
   */
  fields?: 'tightest' | 'all' | false;
  /** Whether `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) of the tightest policy go out too. @default false */
  legacy?: boolean;
}

/** The part of `RateLimitModuleOptions` that guard and interceptor read. */
export interface RateLimitRequestOptions {
  /**
   * Bits of an IPv6 address that identify a client; providers hand out whole /64 networks. Whole
   * number, 32 to 128. @default 64
   */
  ipv6Prefix?: number;
  /**
   * What happens to a request without any address, as on a Unix socket or from a message broker, under a policy
   * that needs one: it fails with an error that says so, or it shares one counter with all others like it.
   * @default 'error', in production 'shared'
   */
  missingAddress?: 'error' | 'shared';
  /** Functions that find user, tenant and API key of a request. @default where most applications put them */
  identify?: RateLimitIdentifiers;
  /** Header fields of responses; `Retry-After` goes out with every refusal, whatever this says. */
  headers?: RateLimitHeaders;
}

/** Checked {@link RateLimitRequestOptions}. */
export interface ResolvedRequestOptions {
  /** Bits of an IPv6 address that identify a client. */
  readonly ipv6Prefix: number;
  /** `undefined`: as the environment says. */
  readonly missingAddress: 'error' | 'shared' | undefined;
  /** Functions that replace the defaults. */
  readonly identify: Readonly<RateLimitIdentifiers>;
  /** Which header fields go out. */
  readonly headers: Readonly<Required<RateLimitHeaders>>;
}

/** Values used for options that are left out. */
export const REQUEST_DEFAULTS = Object.freeze({
  ipv6Prefix: 64,
  headers: Object.freeze({ fields: 'tightest', legacy: false }),
} as const satisfies RateLimitRequestOptions);

/** @throws {ConfigurationError} naming the option that cannot be used and what it accepts */
export function resolveRequestOptions(input: RateLimitRequestOptions): ResolvedRequestOptions {
  const { ipv6Prefix = REQUEST_DEFAULTS.ipv6Prefix, missingAddress, identify = {}, headers = {} } = input;
  if (!Number.isInteger(ipv6Prefix) || ipv6Prefix < 32 || ipv6Prefix > 128) {
    throw fault('ipv6Prefix', ipv6Prefix, 'a whole number from 32 to 128');
  }
  if (missingAddress !== undefined && missingAddress !== 'error' && missingAddress !== 'shared') {
    throw fault('missingAddress', missingAddress, '"error" or "shared"');
  }
  for (const [name, find] of Object.entries(identify)) {
    if (find !== undefined && typeof find !== 'function') {
      throw fault(`identify.${name}`, find, 'a function');
    }
  }
  return {
    ipv6Prefix,
    missingAddress,
    identify: Object.freeze({ ...identify }),
    headers: resolveHeaders(headers),
  };
}

const FIELDS: readonly unknown[] = ['tightest', 'all', false];

function resolveHeaders({
  fields = REQUEST_DEFAULTS.headers.fields,
  legacy = REQUEST_DEFAULTS.headers.legacy,
}: RateLimitHeaders): Required<RateLimitHeaders> {
  if (!FIELDS.includes(fields)) {
    throw fault('headers.fields', fields, '"tightest", "all" or false');
  }
  if (typeof legacy !== 'boolean') throw fault('headers.legacy', legacy, 'true or false');
  return Object.freeze({ fields, legacy });
}

function fault(option: string, value: unknown, accepted: string): ConfigurationError {
  return new ConfigurationError(`Option "${option}" is ${String(value)}; give ${accepted}`);
}
