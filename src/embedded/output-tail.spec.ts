import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { OutputTail } from './output-tail.js';

describe('OutputTail', () => {
  it('joins both streams in the order of arrival', async () => {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const tail = new OutputTail(out, err);

    out.write('first\n');
    await new Promise(setImmediate);
    err.write('second\n');
    await new Promise(setImmediate);

    expect(tail.text).toBe('first\nsecond');
  });

  it('keeps the last 8,192 characters', async () => {
    const out = new PassThrough();
    const tail = new OutputTail(out, null);

    out.end(`${'a'.repeat(9_000)}${'b'.repeat(8_000)}`);
    await new Promise((resolve) => out.once('close', resolve));

    expect(tail.text).toBe(`${'a'.repeat(192)}${'b'.repeat(8_000)}`);
  });
});
