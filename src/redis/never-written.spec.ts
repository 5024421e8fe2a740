import { describe, expect, it } from '@jest/globals';
import { toCallError } from './error-mapping.js';
import { tellNeverWritten } from './never-written.js';

const CALL = { connection: 'default', operation: 'probe', deadlineMs: 1000 };

/** The part of a client that ends its commands, with one that waits and one that was sent. */
function client(maxRetriesPerRequest: number | null, isCluster = false) {
  const ended: { waiting?: Error; sent?: Error } = {};
  const parts = {
    isCluster,
    options: { maxRetriesPerRequest },
    flushQueue(error: Error, { offlineQueue = true, commandQueue = true } = {}): void {
      if (offlineQueue) ended.waiting = error;
      if (commandQueue && !isCluster) ended.sent = error;
    },
  };
  tellNeverWritten(parts);
  return { flush: (error: Error) => parts.flushQueue(error), ended };
}

const outcomeOf = (error: unknown) => toCallError(error, CALL).outcome;

describe('tellNeverWritten', () => {
  it('tells what still waited from what was sent when the connection was lost', () => {
    const { flush, ended } = client(0);

    flush(new Error('Connection is closed.'));

    expect(outcomeOf(ended.waiting)).toBe('not-sent');
    expect(outcomeOf(ended.sent)).toBe('unknown');
    expect(ended.waiting).toMatchObject({ name: 'Error', message: 'Connection is closed.' });
  });

  it('knows that a Cluster client itself only holds what waits', () => {
    const { flush, ended } = client(null, true);

    flush(new Error('Connection is closed.'));

    expect(outcomeOf(ended.waiting)).toBe('not-sent');
  });

  it('claims nothing for a client that sends commands again, nor for other faults', () => {
    const again = client(null);
    again.flush(new Error('Connection is closed.'));
    const refused = client(0);
    const reply = Object.assign(new Error('WRONGPASS no'), { name: 'ReplyError' });
    refused.flush(reply);

    expect(outcomeOf(again.ended.waiting)).toBe('unknown');
    expect(refused.ended.waiting).toBe(reply);
  });
});
