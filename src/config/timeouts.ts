import { ConfigurationError, resolveDuration, type Duration } from '../common/index.js';
import { collect, type Labelled } from './faults.js';
import { CONFIGURATION_DEFAULTS, type ConnectionTimeouts } from './resolved.js';

/** How much longer than a command the socket may stay silent, when only the command's limit is set. */
const SOCKET_MARGIN_MS = 500;

/** Deadlines of one connection before they are checked; `undefined` means not given. */
export interface TimeoutInput {
  readonly connect?: Labelled<number>;
  readonly command?: Labelled<number>;
  readonly socket?: Labelled<number>;
}

/**
 * Completes the deadlines of a connection and checks that the socket's is the longest.
 *
 * @returns `undefined` when a value was given but unusable, or the rule is broken
 */
export function resolveTimeouts(
  input: TimeoutInput,
  faults: string[],
  defaultConnectMs: number = CONFIGURATION_DEFAULTS.connectTimeoutMs,
): ConnectionTimeouts | undefined {
  const { connect, command, socket } = input;
  if ([connect, command, socket].some((item) => item && item.value === undefined)) return undefined;
  const commandTimeoutMs = command?.value ?? CONFIGURATION_DEFAULTS.commandTimeoutMs;
  const fallback = Math.max(CONFIGURATION_DEFAULTS.socketTimeoutMs, commandTimeoutMs + SOCKET_MARGIN_MS);
  const socketTimeoutMs = socket?.value ?? fallback;
  if (socketTimeoutMs <= commandTimeoutMs) {
    const name = command?.label ?? 'the default command timeout';
    faults.push(
      `${socket?.label} is ${socketTimeoutMs} ms, which is not longer than ${name} (${commandTimeoutMs} ms); ` +
        'a socket would be dropped while its commands may still wait: raise it, or lower the command timeout',
    );
    return undefined;
  }
  return Object.freeze({
    connectTimeoutMs: connect?.value ?? defaultConnectMs,
    commandTimeoutMs,
    socketTimeoutMs,
  });
}

/**
 * Converts a duration option to milliseconds.
 *
 * @param maxMs largest accepted value
 */
export function durationOption(
  item: Labelled<Duration> | undefined,
  maxMs: number,
  faults: string[],
): Labelled<number> | undefined {
  if (item?.value === undefined) return item as Labelled<number> | undefined;
  const name = /"(.*)"/.exec(item.label)?.[1] ?? item.label;
  return { label: item.label, value: collect(faults, () => duration(item.value!, name, maxMs)) };
}

/** As `resolveDuration`, but a text that is no duration is not repeated. */
function duration(value: Duration, name: string, maxMs: number): number {
  if (typeof value === 'string' && !/^[\d.]+[a-z]{1,2}$/.test(value)) {
    throw new ConfigurationError(
      `Option "${name}" is a text that is no duration; give "250ms", "30s" or "5m"`,
    );
  }
  return resolveDuration(value, name, { maxMs });
}
