import type { ExecutionContext } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';

/** Response headers that are kept with a response when the handler sets them. */
const KEPT = [
  'content-type',
  'content-language',
  'content-disposition',
  'link',
  'last-modified',
  'etag',
  'cache-control',
] as const;

/** Headers of a response at one moment. */
export type HeaderSnapshot = ReadonlyMap<string, string | undefined>;

/** One request and its response, the same under every HTTP adapter. */
export class HttpExchange {
  private readonly request: { headers?: Record<string, string | string[] | undefined> };
  private readonly response: { statusCode?: number };
  /** What the interceptor has set itself, by name in lower case; a handler that runs meanwhile did not. */
  private readonly own = new Map<string, string>();
  private answeredWith: number | undefined;

  constructor(
    private readonly adapter: AbstractHttpAdapter,
    context: ExecutionContext,
  ) {
    const http = context.switchToHttp();
    this.request = http.getRequest();
    this.response = http.getResponse();
  }

  get method(): string {
    return String(this.adapter.getRequestMethod?.(this.request) ?? '').toUpperCase();
  }

  /** Host the client asked for, without its port; behind a proxy as the framework is told to trust it. */
  get host(): string {
    return String(this.adapter.getRequestHostname?.(this.request) ?? '').toLowerCase();
  }

  /** Path and query as the client sent them. */
  get url(): string {
    return String(this.adapter.getRequestUrl?.(this.request) ?? '');
  }

  /** A request header; several values of one name as one text. */
  header(name: string): string | undefined {
    const value = this.request.headers?.[name.toLowerCase()];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  /** A response header. */
  responseHeader(name: string): string | undefined {
    const value = this.adapter.getHeader?.(this.response, name) as
      string | number | string[] | null | undefined;
    if (value === undefined || value === null) return undefined;
    return Array.isArray(value) ? value.join(', ') : String(value);
  }

  /** Whether the response is already on its way, by the handler's own hand. */
  get isSent(): boolean {
    return Boolean(this.adapter.isHeadersSent(this.response));
  }

  /** Whether a value is the response itself, as handlers return that write it by hand. */
  isResponse(value: unknown): boolean {
    return value === this.response;
  }

  /** The status as the handler left it: one that {@link answer} has set is not the handler's. */
  get handlerStatus(): number {
    const { statusCode = 200 } = this.response;
    return statusCode === this.answeredWith ? 200 : statusCode;
  }

  /** Sets the status of the answer. */
  answer(status: 200 | 304): void {
    this.answeredWith = status;
    this.adapter.status(this.response, status);
  }

  /** Whether the answer has been decided, so that a handler still running does so for the cache alone. */
  get isAnswered(): boolean {
    return this.answeredWith !== undefined;
  }

  /** Sets a response header. */
  set(name: string, value: string): void {
    this.own.set(name.toLowerCase(), value);
    this.adapter.setHeader(this.response, name, value);
  }

  /** The headers among those that are kept, as they are now. */
  snapshot(): HeaderSnapshot {
    return new Map(KEPT.map((name) => [name, this.responseHeader(name)]));
  }

  /** What the handler has set since a snapshot, among the headers that are kept. */
  keptSince(before: HeaderSnapshot): Record<string, string> {
    const kept: Record<string, string> = {};
    for (const name of KEPT) {
      const value = this.handlerHeader(name);
      if (value !== undefined && value !== before.get(name)) kept[name] = value;
    }
    return kept;
  }

  /** A response header, unless it is one of {@link set}. */
  handlerHeader(name: string): string | undefined {
    const value = this.responseHeader(name);
    return value === this.own.get(name.toLowerCase()) ? undefined : value;
  }
}
