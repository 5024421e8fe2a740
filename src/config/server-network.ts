import { parseNatMap, type NatMap } from './nat-map.js';
import { PRESETS } from './presets.js';
import type { ConnectionPlace, ResolvedTls } from './resolved.js';
import { conceal } from './secrets.js';
import { serverForms, type ServerInput } from './server-input.js';

/** Whether nodes of a Cluster are reached by the names they have: certificates carry names. */
export function keepsNames({ resolveNames, preset }: ServerInput, tls: ResolvedTls | undefined): boolean {
  const resolves = resolveNames?.value ?? (preset?.value && PRESETS[preset.value].resolvesNames);
  return resolves === undefined ? tls !== undefined : !resolves;
}

/** The addresses to connect to in place of announced ones, as a part of a place. */
export function readNatMap({ natMap }: ServerInput): { natMap?: NatMap } {
  return natMap?.value === undefined ? {} : { natMap: parseNatMap(natMap) };
}

/** A map that nothing would look into is a mistake. */
export function checkNatMap(
  { natMap, clusterNodes, sentinelHosts, ...input }: ServerInput,
  faults: string[],
): void {
  if (!natMap || clusterNodes || sentinelHosts || serverForms(input).length === 0) return;
  faults.push(
    `${natMap.label} is set, but a single server is reached at the address it is given; remove it, or name a Cluster or Sentinels`,
  );
}

/** Some services announce addresses, while their certificates carry the name the application was given. */
export function withServername(
  tls: ResolvedTls | undefined,
  place: ConnectionPlace,
  { preset }: ServerInput,
): ResolvedTls | undefined {
  const isMeant = preset?.value && PRESETS[preset.value].usesFirstHostAsServername;
  if (!tls || !isMeant || tls.servername !== undefined || place.mode !== 'cluster') return tls;
  const { ca, cert, key } = tls;
  return conceal({ ca, cert, key, servername: place.nodes[0]!.host });
}
