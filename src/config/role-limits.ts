import type { ConnectionOptions, RoleOptions } from './options.js';
import { pickOption, type CheckedOptions } from './options-reader.js';
import type { ConnectionTimeouts } from './resolved.js';
import type { ConnectionRole, RoleLimits } from './roles.js';
import { durationOption } from './timeouts.js';
import { MAX_TIMEOUT_MS } from './variables.js';

/** Limits by role, those that were set. */
export type LimitsByRole = Readonly<Partial<Record<ConnectionRole, RoleLimits>>>;

/**
 * Reads the limits of single roles and checks that the socket's is the longest.
 *
 * @param base what applies where a role sets nothing
 * @returns `undefined` when no role sets any
 */
export function resolveRoles(
  checked: CheckedOptions<ConnectionOptions>,
  base: ConnectionTimeouts | undefined,
  faults: string[],
): LimitsByRole | undefined {
  const item = pickOption(checked, 'roles');
  if (!item?.value) return undefined;
  const limits: Partial<Record<ConnectionRole, RoleLimits>> = {};
  for (const [role, options] of Object.entries(item.value) as [ConnectionRole, RoleOptions][]) {
    limits[role] = readRole(options ?? {}, `${checked.prefix}roles.${role}`, base, faults);
  }
  return Object.freeze(limits);
}

function readRole(
  options: RoleOptions,
  path: string,
  base: ConnectionTimeouts | undefined,
  faults: string[],
): RoleLimits {
  const pick = (name: keyof RoleOptions): number | undefined => {
    const value = options[name];
    if (value === undefined) return undefined;
    return durationOption({ label: `Option "${path}.${name}"`, value }, MAX_TIMEOUT_MS, faults)?.value;
  };
  const limits = {
    connectTimeoutMs: pick('connect'),
    commandTimeoutMs: pick('command'),
    socketTimeoutMs: pick('socket'),
    reconnectDelayMs: pick('reconnect'),
  };
  checkOrder(limits, path, base, faults);
  return Object.freeze(definedOf(limits));
}

/** A worker or reader has no command timeout; the others may not drop a socket whose commands may still wait. */
function checkOrder(
  limits: RoleLimits,
  path: string,
  base: ConnectionTimeouts | undefined,
  faults: string[],
): void {
  if (!base || /\.(worker|reader)$/.test(path)) return;
  if (limits.commandTimeoutMs === undefined && limits.socketTimeoutMs === undefined) return;
  const commandMs = limits.commandTimeoutMs ?? base.commandTimeoutMs;
  const socketMs = limits.socketTimeoutMs ?? base.socketTimeoutMs;
  if (socketMs > commandMs) return;
  faults.push(
    `Option "${path}" has a socket timeout of ${socketMs} ms, which is not longer than its command timeout ` +
      `(${commandMs} ms); a socket would be dropped while its commands may still wait: raise "socket", or lower "command"`,
  );
}

function definedOf(limits: RoleLimits): RoleLimits {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
}
