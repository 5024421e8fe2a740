import type { Job } from 'bullmq';
import { describe, expect, it } from '@jest/globals';
import { JobDispatcher } from './job-dispatcher.js';
import { envelope } from './job-envelope.js';
import { OnJob, type JobContext } from './queue.decorators.js';

const { signal } = new AbortController();

function job(name: string, data: unknown = envelope({ n: 1 }, 't1')): Job {
  return { name, data, queueName: 'mail__out' } as unknown as Job;
}

class Processor {
  readonly label: string = 'processor';
  @OnJob('send')
  send(data: { n: number }, { tenantId }: JobContext): unknown {
    return [this.label, data.n, tenantId];
  }
  @OnJob('fail')
  fail(): never {
    throw new Error('at once');
  }
  plain(): string {
    return 'never';
  }
}

describe('JobDispatcher', () => {
  it('runs the method of the job with payload, tenant, job and signal', async () => {
    const contexts: JobContext[] = [];
    class Probe {
      @OnJob('probe')
      probe(_data: unknown, context: JobContext): void {
        contexts.push(context);
      }
    }
    const probe = job('probe');

    await new JobDispatcher(new Probe()).dispatch(probe, { signal });

    expect(contexts).toHaveLength(1);
    expect(contexts[0]!.job).toBe(probe);
    expect(contexts[0]!.tenantId).toBe('t1');
    expect(contexts[0]!.signal).toBe(signal);
    expect(await new JobDispatcher(new Processor()).dispatch(job('send'), { signal })).toEqual([
      'processor',
      1,
      't1',
    ]);
  });

  it('turns a throw into a rejection', async () => {
    await expect(new JobDispatcher(new Processor()).dispatch(job('fail'), { signal })).rejects.toThrow(
      'at once',
    );
  });

  it.each(['other', 'plain', 'constructor', '__proto__', 'toString', '', '*'])(
    'fails job %p for good when nobody takes it',
    async (name) => {
      const dispatched = new JobDispatcher(new Processor()).dispatch(job(name), { signal });

      await expect(dispatched).rejects.toMatchObject({ name: 'UnrecoverableError' });
      await expect(dispatched).rejects.toThrow(`no handler for job "${name}"`);
    },
  );

  it('gives jobs without a method of their own to the one without a name', async () => {
    class Rest extends Processor {
      @OnJob()
      rest(_data: unknown, context: JobContext): string {
        return `rest ${context.job.name}`;
      }
    }
    const dispatcher = new JobDispatcher(new Rest());

    expect([...dispatcher.jobNames].sort()).toEqual(['*', 'fail', 'send']);
    expect(await dispatcher.dispatch(job('other'), { signal })).toBe('rest other');
    expect(await dispatcher.dispatch(job('send'), { signal })).toEqual(['processor', 1, 't1']);
  });

  it('runs an override, decorated or not, in place of the method of the parent', async () => {
    class Decorated extends Processor {
      @OnJob('send')
      override send(): string {
        return 'decorated';
      }
    }
    class Bare extends Processor {
      override send(): string {
        return 'bare';
      }
    }
    class Renamed extends Processor {
      @OnJob('send-again')
      override send(): string {
        return 'renamed';
      }
    }

    expect(await new JobDispatcher(new Decorated()).dispatch(job('send'), { signal })).toBe('decorated');
    expect(await new JobDispatcher(new Bare()).dispatch(job('send'), { signal })).toBe('bare');
    expect([...new JobDispatcher(new Renamed()).jobNames].sort()).toEqual(['fail', 'send-again']);
  });

  it('refuses two methods for one job', () => {
    class Twice extends Processor {
      @OnJob('send')
      sendToo(): void {}
    }

    expect(() => new JobDispatcher(new Twice())).toThrow(/Twice has two methods with @OnJob\('send'\)/);
  });

  it('calls no getter and takes jobs by a symbol method', async () => {
    const key = Symbol('key');
    class Odd {
      get trap(): never {
        throw new Error('called');
      }
      @OnJob('odd')
      [key](): string {
        return 'odd';
      }
    }

    expect(await new JobDispatcher(new Odd()).dispatch(job('odd'), { signal })).toBe('odd');
  });

  it('has no handlers for a bare object', () => {
    expect(new JobDispatcher({}).jobNames).toEqual([]);
    expect(new JobDispatcher(Object.create(null) as object).jobNames).toEqual([]);
  });
});
