import type { ResolvedTls } from './resolved.js';
import type { ServerInput } from './server-input.js';
import { resolveTls, tlsMaterial, type TlsInput } from './tls.js';
import type { RedisEndpoint } from './url.js';

/**
 * Decides whether a server is reached over TLS, from the URL's scheme and the switch, and reads the
 * material.
 *
 * @param faults receives a sentence for every contradiction and every unusable file
 */
export function resolveServerTls(
  input: ServerInput,
  endpoint: RedisEndpoint | undefined,
  faults: string[],
): ResolvedTls | undefined {
  const { enabled } = input.tls;
  if (input.path || endpoint?.kind === 'unix') return refuseTls(input, faults);
  if (endpoint?.kind === 'tcp' && enabled?.value !== undefined && enabled.value !== endpoint.tls) {
    faults.push(tlsConflict(enabled.label, input.url!.label, endpoint.tls));
    return undefined;
  }
  // Whether a URL that could not be read meant TLS is unknown; broken files are broken either way.
  if (input.url && !endpoint) return checkMaterial(input.tls, faults);
  return resolveSwitch(input.tls, endpoint, faults, input.labels.tls);
}

function checkMaterial(tls: TlsInput, faults: string[]): undefined {
  if (tlsMaterial(tls).length > 0) resolveTls(tls, faults);
}

function tlsConflict(label: string, urlLabel: string, urlTls: boolean): string {
  return urlTls
    ? `${label} switches TLS off, but ${urlLabel} starts with rediss:// (TLS); remove ${label}, or write redis://`
    : `${label} switches TLS on, but ${urlLabel} starts with redis:// (no TLS); write rediss://, or remove ${label}`;
}

function refuseTls(input: ServerInput, faults: string[]): undefined {
  const items = tlsMaterial(input.tls);
  const asked = input.tls.enabled?.value ? [input.tls.enabled, ...items] : items;
  if (asked[0]) faults.push(`${asked[0].label} asks for TLS, which a unix socket does not have; remove it`);
}

/** Reads the material when TLS is on; material without TLS is a fault. */
export function resolveSwitch(
  tls: TlsInput,
  endpoint: RedisEndpoint | undefined,
  faults: string[],
  on?: string,
): ResolvedTls | undefined {
  const isOn = endpoint?.kind === 'tcp' ? endpoint.tls : tls.enabled?.value;
  if (isOn) return resolveTls(tls, faults);
  const [unused] = tlsMaterial(tls);
  // A switch that is set but unusable has its own fault.
  if (unused && !(tls.enabled && tls.enabled.value === undefined)) {
    const fix = endpoint ? 'write rediss:// in the URL' : `set ${on}`;
    faults.push(`${unused.label} is set, but TLS is off; ${fix}, or remove it`);
  }
  return undefined;
}
