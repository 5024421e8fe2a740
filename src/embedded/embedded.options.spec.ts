import { describe, expect, it } from '@jest/globals';
import { EMBEDDED_DEFAULTS, resolveEmbeddedOptions, type MemorySize } from './embedded.options.js';

const MIB = 1024 * 1024;

describe('resolveEmbeddedOptions', () => {
  it('fills in a free port, 1 GiB and 10 seconds', () => {
    expect(resolveEmbeddedOptions()).toEqual({
      port: 0,
      maxMemoryBytes: 1024 * MIB,
      startTimeoutMs: 10_000,
    });
    expect(resolveEmbeddedOptions({})).toEqual(EMBEDDED_DEFAULTS);
  });

  it.each([
    [16 * MIB, 16 * MIB],
    ['4mb', 4 * MIB],
    ['256mb', 256 * MIB],
    ['8192kb', 8 * MIB],
    ['0.5gb', 512 * MIB],
    ['1GB', 1024 * MIB],
    ['8388608b', 8 * MIB],
  ])('reads maxMemory %p as %p bytes', (maxMemory, bytes) => {
    expect(resolveEmbeddedOptions({ maxMemory: maxMemory as MemorySize }).maxMemoryBytes).toBe(bytes);
  });

  it.each([0, -1, 1.5, NaN, Infinity, null, true, '', '256', '256 mb', 'mb', '-1mb', '1tb', '0.3kb'])(
    'rejects maxMemory %p as no amount of memory or too small',
    (maxMemory) => {
      const resolve = () => resolveEmbeddedOptions({ maxMemory: maxMemory as MemorySize });

      expect(resolve).toThrow(/"maxMemory".*(not an amount of memory|outside the accepted range)/);
    },
  );

  it.each(['3mb', '2gb', 1024 * MIB + 1, 4 * MIB - 1])(
    'rejects maxMemory %p as out of range',
    (maxMemory) => {
      const resolve = () => resolveEmbeddedOptions({ maxMemory: maxMemory as MemorySize });

      expect(resolve).toThrow(/outside the accepted range of 4194304 \(4 MiB\) to 1073741824 \(1 GiB\)/);
    },
  );

  it.each([0, 1, 6379, 65_535])('accepts port %p', (port) => {
    expect(resolveEmbeddedOptions({ port }).port).toBe(port);
  });

  it.each([-1, 65_536, 1.5, NaN, null, '6379'])('rejects port %p', (port) => {
    const resolve = () => resolveEmbeddedOptions({ port: port as number });

    expect(resolve).toThrow(expect.objectContaining({ code: 'ERR_CONFIGURATION' }));
    expect(resolve).toThrow(/"port" of the embedded server is not a port/);
  });

  it('reads startTimeout as a duration with bounds', () => {
    expect(resolveEmbeddedOptions({ startTimeout: '30s' }).startTimeoutMs).toBe(30_000);
    expect(() => resolveEmbeddedOptions({ startTimeout: 99 })).toThrow(/"startTimeout"/);
    expect(() => resolveEmbeddedOptions({ startTimeout: '3m' })).toThrow(/"startTimeout"/);
  });
});
