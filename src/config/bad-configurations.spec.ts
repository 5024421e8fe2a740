import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { BAD_CONFIGURATIONS, CANARY } from '../../test/support/bad-configurations.js';
import { ConfigurationError } from '../common/index.js';
import type { RednestOptions } from './options.js';
import { resolveConfiguration } from './resolve.js';
import { ENVIRONMENT_VARIABLES } from './variables.js';

function tryResolve(options: RednestOptions, env: Record<string, string>): ConfigurationError | undefined {
  try {
    resolveConfiguration(options, env);
    return undefined;
  } catch (error) {
    if (error instanceof ConfigurationError) return error;
    throw error;
  }
}

function refusal(options: RednestOptions, env: Record<string, string>): ConfigurationError {
  const error = tryResolve(options, env);
  if (!error) throw new Error('the configuration was accepted');
  return error;
}

describe('resolveConfiguration refuses', () => {
  it.each(BAD_CONFIGURATIONS)('$name', ({ options, env, expected }) => {
    const error = refusal(options ?? {}, env);

    expect(error.message).toMatch(expected);
    expect(error.message).not.toMatch(/undefined (is|each)|Invalid input|\[object/);
    const everything = [error.message, error.stack, inspect(error), JSON.stringify(error), ...error.faults];
    expect(everything.join('\n')).not.toContain(CANARY);
  });

  it('reports exactly one fault for one mistake', () => {
    const several = BAD_CONFIGURATIONS.filter(
      ({ options, env }) => refusal(options ?? {}, env).faults.length > 1,
    );

    expect(several.map(({ name }) => name)).toEqual([
      'a certificate without key',
      'options: a misspelt option',
    ]);
  });

  it.each(ENVIRONMENT_VARIABLES)('a secret that ended up in %s without repeating it', (name) => {
    const misplaced = [
      CANARY,
      ` ${CANARY}`,
      `"${CANARY}"`,
      `${CANARY}://db`,
      `${CANARY}:6379`,
      `redis://${CANARY}`,
      `redis://db:${CANARY}`,
      `redis://db/${CANARY}`,
      `redis://db?${CANARY}`,
      `http://:${CANARY}@db`,
      `unix://${CANARY}`,
      `/run/${CANARY}`,
      `a:1,${CANARY}:${CANARY}`,
    ];
    const servers: Record<string, string>[] = [
      {},
      { REDIS_URL: 'rediss://db' },
      { REDIS_SENTINEL_HOSTS: 'a' },
    ];

    for (const value of misplaced) {
      for (const server of servers) {
        const error = tryResolve({}, { ...server, [name]: value });
        expect(`${error?.message} ${inspect(error)}`).not.toContain(CANARY);
      }
    }
  });

  it('lists every fault of a configuration at once', () => {
    const error = refusal(
      { keyPrefix: '*', connections: { cache: { host: 'a', port: 0 }, 'bad name': {} } },
      {
        REDIS_URL: 'http://db',
        REDIS_DB: 'x',
        REDIS_PASSWORD: ' ',
        REDIS_BOOT_TIMEOUT_MS: '-1',
        REDIS_TLS_CA_FILE: '/does/not/exist',
      },
    );

    expect(error.faults.map((fault) => fault.split(/ (?:is|must|has|names|needs) /)[0])).toEqual([
      'REDIS_PASSWORD',
      'REDIS_DB',
      'REDIS_BOOT_TIMEOUT_MS',
      'REDIS_URL',
      'REDIS_TLS_CA_FILE',
      'Option "connections.cache.port"',
      'Option "connections"',
      'Option "keyPrefix"',
    ]);
    expect(error.message).toMatch(/^8 configuration faults:\n {2}- REDIS_PASSWORD is blank/);
  });
});
