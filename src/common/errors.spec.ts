import { describe, expect, it } from '@jest/globals';
import { ConfigurationError, isRednestError, RednestError } from './errors.js';

class ProbeError extends RednestError {
  override readonly name = 'ProbeError';
  override readonly code = 'ERR_PROBE';
}

describe('isRednestError', () => {
  it('takes errors of this package, and with a code only that one', () => {
    const error = new ProbeError('gone');

    expect(isRednestError(error)).toBe(true);
    expect(isRednestError(error, 'ERR_PROBE')).toBe(true);
    expect(isRednestError(error, 'ERR_CONFIGURATION')).toBe(false);
  });

  it('takes errors of another copy of the package', () => {
    const foreign = Object.defineProperty(
      Object.assign(new Error('x'), { code: 'ERR_PROBE' }),
      Symbol.for('rednest:error'),
      { value: true },
    );

    expect(isRednestError(foreign, 'ERR_PROBE')).toBe(true);
  });

  it.each([
    null,
    undefined,
    0,
    '',
    'ERR_PROBE',
    () => undefined,
    new Error('x'),
    { code: 'ERR_PROBE', name: 'ProbeError' },
    { 'rednest:error': true },
    Object.create(null),
  ])('refuses %p', (value) => {
    expect(isRednestError(value)).toBe(false);
  });

  it('does not show its mark when the error is copied or printed', () => {
    const error = new ProbeError('gone');

    expect(Object.assign({}, error)).toEqual({ name: 'ProbeError', code: 'ERR_PROBE' });
    expect(isRednestError(Object.assign({}, error))).toBe(false);
    expect(isRednestError(JSON.parse(JSON.stringify(error)))).toBe(false);
  });
});

describe('RednestError', () => {
  it('is an error with its name, message and cause', () => {
    const cause = new Error('root');
    const error = new ProbeError('gone', { cause });

    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toBe('ProbeError: gone');
    expect(error.cause).toBe(cause);
    expect(error.stack).toContain('errors.spec');
  });
});

describe('ConfigurationError', () => {
  it('is the fault itself when there is one', () => {
    expect(new ConfigurationError('no url').message).toBe('no url');
    expect(new ConfigurationError(['no url']).message).toBe('no url');
  });

  it('lists several faults', () => {
    const error = new ConfigurationError(['no url', 'no app']);

    expect(error.message).toBe('2 configuration faults:\n  - no url\n  - no app');
    expect(error.faults).toEqual(['no url', 'no app']);
  });

  it('keeps its own copy of the faults', () => {
    const faults = ['no url'];
    const error = new ConfigurationError(faults);

    faults.push('later');

    expect(error.faults).toEqual(['no url']);
    expect(Object.isFrozen(error.faults)).toBe(true);
  });
});
