import { ConsoleLogger } from '@nestjs/common';

/** Contexts of Nest that report the wiring of modules and routes, line by line. */
const WIRING = new Set(['InstanceLoader', 'RoutesResolver', 'RouterExplorer']);

/** A failed start reaches `main`, which prints it once; Nest would print it before, with its stack. */
const RETHROWN = 'ExceptionHandler';

/** Readable lines in development, JSON lines in production, without what nobody reads at a start. */
export class ServiceLogger extends ConsoleLogger {
  constructor(format: 'pretty' | 'json') {
    super({ json: format === 'json', colors: process.stdout.isTTY });
  }

  override log(message: unknown, ...rest: unknown[]): void {
    if (!WIRING.has(String(rest.at(-1)))) super.log(message, ...rest);
  }

  override error(message: unknown, ...rest: unknown[]): void {
    if (rest.at(-1) !== RETHROWN) super.error(message, ...rest);
  }
}
