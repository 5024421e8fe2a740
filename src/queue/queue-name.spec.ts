import { describe, expect, it } from '@jest/globals';
import { assertQueueName } from './queue-name.js';

describe('assertQueueName', () => {
  it.each(['a__b', 'notifications__email', 'a-b__c-d-1', '0__9'])('takes %p', (name) => {
    expect(assertQueueName(name)).toBe(name);
  });

  it.each([
    ['', 'jobs__default'],
    ['email', 'email__default'],
    ['Mail__Out', 'mail__out'],
    ['mail:out', 'mail__out'],
    ['a__b__c', 'a__b-c'],
    ['a_b', 'a__b'],
    ['a___b', 'a__b'],
    ['-a__b', 'a__b'],
    ['a-__b', 'a__b'],
    ['a--b__c', 'a__b-c'],
    ['a__b\n', 'a__b'],
    ['{a}__b', 'a__b'],
    ['é__ü', 'jobs__default'],
    ['a b c', 'a__b-c'],
  ])('refuses %p and offers %p, which it takes', (name, suggestion) => {
    expect(() => assertQueueName(name)).toThrow(`try "${suggestion}"`);
    expect(assertQueueName(suggestion)).toBe(suggestion);
  });

  it('decides about a long hostile name at once', () => {
    const startedMs = performance.now();

    expect(() => assertQueueName(`${'a-'.repeat(50_000)}__`)).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIGURATION' }),
    );

    expect(performance.now() - startedMs).toBeLessThan(500);
  });
});
