import { describe, expect, it } from '@jest/globals';
import { envelope, openEnvelope } from './job-envelope.js';

/** What a worker gets: the envelope after Redis. */
const stored = (data: unknown, tenantId: string | null): unknown =>
  JSON.parse(JSON.stringify(envelope(data, tenantId)));

describe('openEnvelope', () => {
  it.each([null, 0, '', false, 'text', [1], {}, { v: 1 }, { data: 1 }, { v: 1, tenantId: 'x', data: 2 }])(
    'brings payload %p and its tenant back',
    (data) => {
      expect(openEnvelope(stored(data, 't1'))).toEqual({ rednest: 1, tenantId: 't1', data });
      expect(openEnvelope(stored(data, null))).toEqual({ rednest: 1, tenantId: null, data });
    },
  );

  it('keeps the tenant of a job without a payload: JSON drops undefined', () => {
    const { tenantId, data } = openEnvelope(stored(undefined, 't1'));

    expect({ tenantId, data }).toEqual({ tenantId: 't1', data: undefined });
  });

  it.each([
    undefined,
    null,
    'text',
    7,
    [],
    {},
    { a: 1 },
    { rednest: 1, data: 'x', other: 'y' },
    { v: 2, tenantId: 't1', data: 'x' },
    { v: '1', tenantId: 't1', data: 'x' },
    { rednest: 1, tenantId: 5, data: 'x' },
    { rednest: 1, tenantId: { $ne: null }, data: 'x' },
  ])('takes %p for the payload of a job of the system', (value) => {
    expect(openEnvelope(value)).toEqual({ rednest: 1, tenantId: null, data: value });
  });
});
