import { randomUUID } from 'node:crypto';
import type { Job } from 'bullmq';
import { describe, expect, it } from '@jest/globals';
import { envelope } from './job-envelope.js';
import { toJobView } from './job-view.js';

const id = `mail__out.${randomUUID()}`;

function job(fields: object = {}): Job {
  return {
    id,
    name: 'send',
    queueName: 'mail__out',
    data: envelope({ body: 'canary' }, 't1'),
    attemptsMade: 2,
    timestamp: 1000,
    returnvalue: null,
    stacktrace: ['Error: canary'],
    ...fields,
  } as unknown as Job;
}

describe('toJobView', () => {
  it('shows neither payload nor stack', () => {
    const view = toJobView(job(), 'active');

    expect(view).toEqual({
      id,
      queue: 'mail__out',
      name: 'send',
      tenantId: 't1',
      state: 'active',
      attemptsMade: 2,
      createdAtMs: 1000,
    });
    expect(JSON.stringify(view)).not.toContain('canary');
  });

  it.each([null, 0, false, '', { ok: true }])('shows the result %p once completed', (returnvalue) => {
    expect(toJobView(job({ returnvalue, finishedOn: 2000 }), 'completed')).toMatchObject({
      result: returnvalue,
      finishedAtMs: 2000,
    });
    expect(toJobView(job({ returnvalue }), 'failed')).not.toHaveProperty('result');
  });

  it('shows why the last attempt failed', () => {
    expect(toJobView(job({ failedReason: 'no route' }), 'delayed').failedReason).toBe('no route');
    expect(toJobView(job({ failedReason: '' }), 'active')).not.toHaveProperty('failedReason');
  });

  it('takes a job somebody else added for one of the system', () => {
    const view = toJobView(job({ id: '17', queueName: 'legacy', data: { tenantId: 't1' } }), 'waiting');

    expect(view).toMatchObject({ id: '17', queue: 'legacy', tenantId: null });
  });
});
