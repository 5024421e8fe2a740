import { UnrecoverableError, type Job } from 'bullmq';
import { describe, expect, it } from '@jest/globals';
import { JobDispatcher } from './job-dispatcher.js';
import { envelope } from './job-envelope.js';
import { defineQueue, type QueueContract } from './queue-contract.js';
import { OnJob, type JobContext } from './queue.decorators.js';
import { JobValidationError } from './queue.errors.js';
import { goOn } from './thenable.js';

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

  it('makes no promise for a handler that makes none', () => {
    const dispatcher = new JobDispatcher(new Processor());

    expect(dispatcher.dispatch(job('send'), { signal })).toEqual(['processor', 1, 't1']);
    expect(() => dispatcher.dispatch(job('fail'), { signal })).toThrow('at once');
  });

  describe('with a contract', () => {
    const text = (late: boolean) => ({
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) => {
          const result =
            typeof value === 'string' ? { value: `${value}!` } : { issues: [{ message: 'no text' }] };
          return late ? Promise.resolve(result) : result;
        },
      },
    });
    const echo = (answer: (data: unknown) => unknown) => {
      class Echo {
        @OnJob('echo')
        echo(data: unknown): unknown {
          return answer(data);
        }
      }
      return new JobDispatcher(new Echo());
    };
    const contract = (late: { data: boolean; result: boolean }) =>
      defineQueue('mail__out', { jobs: { echo: { data: text(late.data), result: text(late.result) } } });
    /** As a worker does it. */
    const run = (dispatcher: JobDispatcher, data: unknown, rules: QueueContract): unknown => {
      const echoed = job('echo', envelope(data, 't1'));
      return goOn(dispatcher.dispatch(echoed, { signal }, rules), (value) =>
        dispatcher.checkResult(echoed, value, rules),
      );
    };
    const each = [
      { data: false, result: false, handler: false },
      { data: true, result: false, handler: false },
      { data: false, result: true, handler: false },
      { data: false, result: false, handler: true },
      { data: true, result: true, handler: true },
    ];

    it.each(each)('checks both ends, and waits only where it has to: %p', async ({ handler, ...late }) => {
      const dispatcher = echo((data) => (handler ? Promise.resolve(data) : data));
      const answer = run(dispatcher, 'a', contract(late));

      expect(answer instanceof Promise).toBe(handler || late.data || late.result);
      expect(await answer).toBe('a!!');
    });

    it.each(each)('fails a job for good that does not match: %p', async ({ handler, ...late }) => {
      const dispatched = async (data: unknown, answer: unknown) =>
        run(
          echo(() => (handler ? Promise.resolve(answer) : answer)),
          data,
          contract(late),
        );

      const failure = { name: 'UnrecoverableError' };
      await expect(dispatched(1, 'a')).rejects.toMatchObject(failure);
      await expect(dispatched('a', 1)).rejects.toMatchObject(failure);
    });

    it('lets an error of the handler through, whatever it is', async () => {
      const fail = (error: Error, late: boolean) =>
        echo(() => {
          if (late) return Promise.reject(error);
          throw error;
        });
      const error = new JobValidationError('mail__out', 'other', 'data', ['to']);

      for (const late of [true, false]) {
        const dispatched = async () => run(fail(error, late), 'a', contract({ data: false, result: false }));
        await expect(dispatched()).rejects.toBe(error);
      }
    });

    it('waits for what is like a promise', async () => {
      // oxlint-disable-next-line unicorn/no-thenable -- what a query builder gives
      const builder = { then: (resolve: (value: string) => void) => resolve('b') };
      const dispatcher = echo(() => builder);

      const answer = run(dispatcher, 'a', contract({ data: false, result: false }));

      expect(await answer).toBe('b!');
    });
  });

  it.each(['other', 'plain', 'constructor', '__proto__', 'toString', '', '*'])(
    'fails job %p for good when nobody takes it',
    (name) => {
      const dispatch = () => new JobDispatcher(new Processor()).dispatch(job(name), { signal });

      expect(dispatch).toThrow(UnrecoverableError);
      expect(dispatch).toThrow(`no handler for job "${name}"`);
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
