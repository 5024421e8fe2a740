import type { Command } from 'ioredis';
import type { RedisClient } from './client-factory.js';

/**
 * A view of a client whose commands carry no timer of the client, whenever they are sent: what sends them
 * has a deadline of its own, which may be longer. Everything else is the client itself.
 *
 * Its commands leave by themselves, also with auto-pipelining: a batch has one timer for all.
 */
export function patientView<T extends RedisClient>(client: T): T {
  const options = new Proxy(client.options, {
    get: (target, name): unknown => (name === 'enableAutoPipelining' ? false : Reflect.get(target, name)),
  });
  const send = client.sendCommand.bind(client) as (command: Command, ...rest: unknown[]) => unknown;
  const sendCommand = (command: Command, ...rest: unknown[]): unknown => send(patient(command), ...rest);
  return new Proxy(client, {
    get(target, name, view): unknown {
      if (name === 'sendCommand') return sendCommand;
      if (name === 'options') return options;
      return Reflect.get(target, name, view);
    },
  });
}

/** The client starts the timer of a command when it takes it, and once more for each node it is sent to. */
function patient(command: Command): Command {
  command.setTimeout = () => undefined;
  return command;
}
