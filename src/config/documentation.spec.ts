import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { resolveConfiguration } from './resolve.js';
import { ENVIRONMENT_VARIABLES } from './variables.js';

const example = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
const SERVICE_VARIABLES = ['PORT', 'QUEUE_ROLE', 'APP_RATE_LIMIT', 'HTTP_ADAPTER', 'LOG_FORMAT'];
const EXPECTED = new Set<string>([...ENVIRONMENT_VARIABLES, ...SERVICE_VARIABLES]);

/** Assignments of the example file, those that are switched off included. */
const assignments = Object.fromEntries(
  [...example.matchAll(/^#?([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]),
);

function pick(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, assignments[name]!]));
}

describe('.env.example', () => {
  it('shows every variable once, and none that is not read', () => {
    const names = [...example.matchAll(/^#?([A-Z_]+)=/gm)].map(([, name]) => name);

    expect(new Set(names)).toEqual(EXPECTED);
    expect(names).toHaveLength(EXPECTED.size);
  });

  it('leaves everything off, so that a plain copy changes nothing', () => {
    expect(example).not.toMatch(/^[A-Z]/m);
  });

  it.each([
    ['URL', ['REDIS_URL', 'REDIS_USERNAME', 'REDIS_PASSWORD', 'REDIS_DB']],
    ['host', ['REDIS_HOST', 'REDIS_PORT', 'REDIS_TLS']],
    [
      'Sentinel',
      ['REDIS_SENTINEL_HOSTS', 'REDIS_SENTINEL_NAME', 'REDIS_SENTINEL_USERNAME', 'REDIS_SENTINEL_PASSWORD'],
    ],
    ['Cluster', ['REDIS_CLUSTER_NODES', 'REDIS_DB']],
  ])('has examples that work: %s', (_form, names) => {
    const common = pick('NODE_ENV', 'REDIS_APP_NAME', 'REDIS_KEY_PREFIX');

    expect(resolveConfiguration({}, { ...common, ...pick(...names) }).warnings).toEqual([]);
  });

  it('shows the defaults of the deadlines', () => {
    const names = ENVIRONMENT_VARIABLES.filter((name) => name.endsWith('_MS'));
    const server = { REDIS_HOST: 'db' };

    expect(resolveConfiguration({}, { ...server, ...pick(...names) })).toEqual(
      resolveConfiguration({}, server),
    );
  });
});

describe('docs/configuration.md', () => {
  it('has a row for every variable', () => {
    const rows = [...page.matchAll(/^\| `([A-Z_]+)` +\|/gm)].map(([, name]) => name);

    expect(new Set(rows)).toEqual(EXPECTED);
    expect(rows).toHaveLength(EXPECTED.size);
  });
});
