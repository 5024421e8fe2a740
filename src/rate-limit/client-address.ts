import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** What every text that is not an address becomes, so that garbage cannot buy fresh counters. */
export const INVALID_ADDRESS = 'invalid';

/**
 * Reduces an address to what identifies a client: port and zone removed, IPv4 inside IPv6 unpacked,
 * IPv6 cut to its network.
 *
 * @param ipv6Prefix bits of an IPv6 address to keep, 32 to 128
 * @returns `203.0.113.7`, `2001:db8:0:1::/64`, or {@link INVALID_ADDRESS}
 * @example
 * normaliseAddress('[2001:db8:0:1::7%eth0]:443', 64); // '2001:db8:0:1::/64'
 */
export function normaliseAddress(text: string, ipv6Prefix: number): string {
  const address = bare(text.trim());
  if (isIPv4(address)) return address;
  if (!isIPv6(address)) return INVALID_ADDRESS;
  const parsed = ipaddr.IPv6.parse(address);
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  return `${network(parsed.parts, ipv6Prefix)}/${ipv6Prefix}`;
}

/** Removes brackets, port and zone. */
function bare(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text);
  const address = bracketed ? bracketed[1]! : text.replace(/^([\d.]+):\d+$/, '$1');
  const zone = address.indexOf('%');
  return zone === -1 ? address : address.slice(0, zone);
}

function network(parts: readonly number[], prefix: number): string {
  const masked = parts.map((part, index) => {
    const bits = Math.min(16, Math.max(0, prefix - index * 16));
    return part & (0xffff << (16 - bits)) & 0xffff;
  });
  return new ipaddr.IPv6(masked).toRFC5952String();
}
