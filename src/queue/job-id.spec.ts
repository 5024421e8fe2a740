import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { queueOf } from './job-id.js';

const uuid = randomUUID();

describe('queueOf', () => {
  it.each(['a__b', 'notifications__email', 'a-1__c-d'])('reads %p from an id of its queue', (name) => {
    expect(queueOf(`${name}.${uuid}`)).toBe(name);
  });

  it.each([
    '',
    '1',
    'a__b',
    `a__b.`,
    `a__b:${uuid}`,
    `a__b.${uuid}x`,
    `a__b.${uuid}\n`,
    ` a__b.${uuid}`,
    `a__b.${uuid.toUpperCase()}G`,
    `A__b.${uuid}`,
    `a_b.${uuid}`,
    `a__b.c.${uuid}`,
    `repeat:a__b.${uuid}`,
    `../a__b.${uuid}`,
    `__proto__.${uuid}`,
  ])('knows no queue for %p', (id) => {
    expect(queueOf(id)).toBeUndefined();
  });
});
