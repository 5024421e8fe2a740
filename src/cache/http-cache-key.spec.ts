import { describe, expect, it } from '@jest/globals';
import { responseKey, type ResponseIdentity } from './http-cache-key.js';

const key = (change: Partial<ResponseIdentity> = {}) =>
  responseKey({
    method: 'GET',
    route: 'A.list',
    version: undefined,
    host: 'a.example',
    url: '/a',
    vary: [],
    principal: undefined,
    ...change,
  });

describe('responseKey', () => {
  it('does not depend on the order of the query, but on the order of values of one name', () => {
    expect(key({ url: '/a?x=1&y=2' })).toEqual(key({ url: '/a?y=2&x=1' }));
    for (const [one, other] of [
      ['x=1&x=2', 'x=2&x=1'],
      ['x=1&%78=2', '%78=2&x=1'],
      ['x[]=1&x=2', 'x=2&x[]=1'],
    ]) {
      expect(key({ url: `/a?${one}` })).not.toEqual(key({ url: `/a?${other}` }));
    }
  });

  it('tells everything else apart', () => {
    const keys = [
      key(),
      key({ method: 'HEAD' }),
      key({ route: 'B.list' }),
      key({ version: '["1"]' }),
      key({ host: 'b.example' }),
      key({ url: '/b' }),
      key({ url: '/a?x=1' }),
      key({ url: '/a?x=1%26y%3D2' }),
      key({ url: '/a?x=1&y=2' }),
      ...['q=%ff', 'q=%fe', 'q=%EF%BF%BD', 'q', 'q=', '%ff=1', '%fe=1'].map((query) =>
        key({ url: `/a?${query}` }),
      ),
      key({ vary: [undefined] }),
      key({ vary: [''] }),
      key({ vary: ['de', 'gzip'] }),
      key({ vary: ['de, gzip'] }),
      key({ principal: 'ada' }),
      key({ principal: '' }),
    ];

    expect(new Set(keys.map((parts) => JSON.stringify(parts))).size).toBe(keys.length);
  });

  it('shows neither principal nor query', () => {
    const text = JSON.stringify(key({ url: '/a?token=s3cret', principal: 'session-s3cret' }));

    expect(text).not.toContain('s3cret');
    expect(text).toMatch(/^\["http","GET","A\.list","[\w-]{43}"\]$/);
  });
});
