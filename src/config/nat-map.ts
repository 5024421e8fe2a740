import { ConfigurationError } from '../common/index.js';
import { parseHostPort, type HostInput, type HostPort } from './endpoint.js';
import { collect, type Labelled } from './faults.js';
import { parseHostList } from './endpoint.js';

/** Address to connect to, by the address that a server announces (`host:port`). */
export type NatMap = Readonly<Record<string, HostPort>>;

const FORM = 'write announced-host:port=reachable-host:port';

/** Reads `announced=reachable` pairs, as a variable has them, into the form of the option. */
export function natPairs(item: Labelled<string> | undefined): Labelled<Record<string, string>> | undefined {
  if (item?.value === undefined) return item as Labelled<Record<string, string>> | undefined;
  const pairs = item.value.split(',').map((pair): [string, string] => {
    const [announced = '', reachable = '', ...more] = pair.trim().split('=');
    return [announced, more.length > 0 ? '' : reachable];
  });
  return { label: item.label, value: Object.fromEntries(pairs) };
}

/**
 * Checks a map of addresses.
 *
 * @throws {ConfigurationError} with one fault per bad entry, named by its position
 */
export function parseNatMap({ label, value }: Labelled<Readonly<Record<string, HostInput>>>): NatMap {
  const entries = Object.entries(value ?? {});
  if (entries.length === 0) throw new ConfigurationError(`${label} is empty; ${FORM}, or remove it`);
  const faults: string[] = [];
  const map: Record<string, HostPort> = {};
  for (const [index, [announced, reachable]] of entries.entries()) {
    const place = `${label} entry ${index + 1}`;
    const from = collect(faults, () => withPort(announced, place));
    const to = collect(faults, () => parseReachable(reachable, place));
    if (from && to) map[`${from.host}:${from.port}`] = to;
  }
  if (faults.length > 0) throw new ConfigurationError([...new Set(faults)]);
  return Object.freeze(map);
}

function parseReachable(reachable: HostInput, label: string): HostPort {
  if (typeof reachable === 'string') return withPort(reachable, label);
  return parseHostList([{ port: NO_PORT, ...reachable }], label, NO_PORT)[0]!;
}

const NO_PORT = 6379;

/** Both sides are full addresses: a port that was left out would be a guess. */
function withPort(text: string, label: string): HostPort {
  if (!/:\d+$/.test(text)) throw new ConfigurationError(`${label} is not a pair of addresses; ${FORM}`);
  return Object.freeze(parseHostPort(text, label, NO_PORT));
}
