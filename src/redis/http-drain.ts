import type { HttpAdapterHost } from '@nestjs/core';

/** The part of Node's HTTP server that ends connections. */
interface ClosableServer {
  closeIdleConnections(): void;
  closeAllConnections(): void;
}

/** How often connections that became idle are ended, in milliseconds. */
const SWEEP_MS = 50;

/**
 * Lets the HTTP server stop in bounded time. A connection that is kept alive outlives its last
 * request, and the server waits for it; so idle ones are ended as they appear, and what is still
 * busy when the budget is used up is cut.
 */
export class HttpDrain {
  private sweep: NodeJS.Timeout | undefined;
  private deadline: NodeJS.Timeout | undefined;

  /** Begins; does nothing in an application without an HTTP server. */
  begin(host: HttpAdapterHost | undefined, budgetMs: number): void {
    const server: unknown = host?.httpAdapter?.getHttpServer?.();
    if (!isClosable(server)) return;
    this.sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS).unref();
    this.deadline = setTimeout(() => server.closeAllConnections(), budgetMs).unref();
  }

  /** Ends the timers. */
  end(): void {
    clearInterval(this.sweep);
    clearTimeout(this.deadline);
  }
}

function isClosable(server: unknown): server is ClosableServer {
  return typeof (server as Partial<ClosableServer> | undefined)?.closeIdleConnections === 'function';
}
