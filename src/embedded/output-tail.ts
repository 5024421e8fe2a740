import type { Readable } from 'node:stream';

const LIMIT_CHARACTERS = 8_192;

/**
 * Reads the output streams of a child process so that it never blocks on them, and keeps the last
 * 8,192 characters for error messages. Nothing is printed.
 *
 * @internal
 */
export class OutputTail {
  readonly #streams: readonly Readable[];
  #text = '';

  constructor(...streams: (Readable | null)[]) {
    this.#streams = streams.filter((stream) => stream !== null);
    for (const stream of this.#streams) {
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => (this.#text = (this.#text + chunk).slice(-LIMIT_CHARACTERS)));
      // A broken pipe means the process is gone; its exit is reported elsewhere.
      stream.on('error', () => undefined);
    }
  }

  /** What was kept, without white space at the ends. */
  get text(): string {
    return this.#text.trim();
  }

  /** Lets the event loop end although the streams are open. */
  unref(): void {
    for (const stream of this.#streams) (stream as Readable & { unref?: () => void }).unref?.();
  }
}
