import { ConfigurationError } from '../common/index.js';

/** Name of a queue: `{namespace}__{name}`, lower-case words joined by `-`. */
export type QueueName = `${string}__${string}`;

/**
 * `Name` when it has the form of a queue name, else a text that says which form is expected: shown by the
 * compiler for `'notifications:email'`, `'Mail__out'` and `'a__b__c'` alike.
 */
export type CheckedQueueName<Name extends string> = Name extends `${string}:${string}`
  ? 'a queue name must not contain ":"; use {namespace}__{name}'
  : Name extends Lowercase<Name>
    ? Name extends `${string}__${string}__${string}`
      ? 'a queue name has one "__", between namespace and name'
      : Name extends QueueName
        ? Name
        : 'a queue name has the form {namespace}__{name}'
    : 'a queue name is lower case';

const WORDS = '[a-z0-9]+(?:-[a-z0-9]+)*';
const QUEUE_NAME = new RegExp(`^${WORDS}__${WORDS}$`);

/**
 * Checks a queue name.
 *
 * @throws {ConfigurationError} with the closest valid name
 * @example
 * assertQueueName('notifications__email');
 */
export function assertQueueName(name: string): QueueName {
  if (QUEUE_NAME.test(name)) return name as QueueName;
  throw new ConfigurationError(
    `Queue name "${name.slice(0, 64)}" is not of the form {namespace}__{name} ` +
      `(lower-case letters, digits and "-"); try "${suggest(name)}"`,
  );
}

function suggest(name: string): string {
  const words = name
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
  const [namespace = 'jobs', ...rest] = words;
  return `${namespace}__${rest.length > 0 ? rest.join('-') : 'default'}`;
}
