import { afterEach, expect, it } from '@jest/globals';
import { Command, Redis } from 'ioredis';
import { patientView } from './patient-client.js';

const clients: Redis[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

function open(): Redis {
  const client = new Redis({ host: 'db.invalid', port: 6380, lazyConnect: true, enableAutoPipelining: true });
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

it('is the client in everything but its timers and batches', () => {
  const client = open();
  const view = patientView(client);

  expect(view).toBeInstanceOf(Redis);
  expect(view.status).toBe('wait');
  expect({ ...view.options }).toEqual({ ...client.options, enableAutoPipelining: false });
  expect(client.options.enableAutoPipelining).toBe(true);
  const copy = view.duplicate();
  clients.push(copy);
  expect(copy.options).toMatchObject({ host: 'db.invalid', port: 6380 });
});

it('changes the client where it is changed', () => {
  const client = open();
  const view = patientView(client);
  const heard: string[] = [];

  view.on('probe' as 'ready', () => heard.push('probe'));
  view.options.connectionName = 'renamed';
  view.defineCommand('probeScript', { numberOfKeys: 0, lua: 'return 1' });
  client.emit('probe');

  expect(heard).toEqual(['probe']);
  expect(client.options.connectionName).toBe('renamed');
  expect(client).toHaveProperty('probeScript');
});

it('takes the timer off commands that are sent on it, and off no others', async () => {
  const client = open();
  client.disconnect();
  const timed = (command: Command): boolean => Object.hasOwn(command, 'setTimeout');
  const [patient, other] = [new Command('ping'), new Command('ping')];

  const answers = await Promise.allSettled([
    patientView(client).sendCommand(patient),
    client.sendCommand(other),
  ]);

  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect([timed(patient), timed(other)]).toEqual([true, false]);
});
