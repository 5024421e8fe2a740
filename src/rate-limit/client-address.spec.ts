import { describe, expect, it } from '@jest/globals';
import { INVALID_ADDRESS, normaliseAddress } from './client-address.js';

describe('normaliseAddress', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    [' 203.0.113.7 ', '203.0.113.7'],
    ['203.0.113.7:51234', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:cb00:7107', '203.0.113.7'],
    ['[::ffff:203.0.113.7]:443', '203.0.113.7'],
    ['2001:db8:0:1:2:3:4:5', '2001:db8:0:1::/64'],
    ['2001:DB8:0:1::', '2001:db8:0:1::/64'],
    ['[2001:db8:0:1::7]', '2001:db8:0:1::/64'],
    ['[2001:db8:0:1::7%eth0]:443', '2001:db8:0:1::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
    ['::1', '::/64'],
  ])('reduces %s to %s', (text, expected) => {
    expect(normaliseAddress(text, 64)).toBe(expected);
  });

  it.each([
    [32, '2001:db8::/32'],
    [48, '2001:db8:ffff::/48'],
    [56, '2001:db8:ffff:ff00::/56'],
    [60, '2001:db8:ffff:fff0::/60'],
    [128, '2001:db8:ffff:ffff:1:2:3:4/128'],
  ])('groups IPv6 by %i bits', (prefix, expected) => {
    expect(normaliseAddress('2001:db8:ffff:ffff:1:2:3:4', prefix)).toBe(expected);
  });

  it.each([
    '',
    'unknown',
    '203.0.113.7, 198.51.100.2',
    '1.2.3',
    '0x7f.1',
    '999.1.1.1',
    '[::1',
    ':::',
    'a.b.c.d:80',
  ])('puts %j with everything else that is no address', (text) => {
    expect(normaliseAddress(text, 64)).toBe(INVALID_ADDRESS);
  });
});
