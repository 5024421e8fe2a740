import { describe, expect, it } from '@jest/globals';
import type { ResolvedConnection } from '../config/index.js';
import { checkNeeds, checkServer } from './boot-checks.js';
import type { BootFacts } from './boot-facts.js';

const TARGET = { mode: 'single', host: 'db', port: 6379, db: 0 } as ResolvedConnection;
const PLACE = { connection: 'default', target: TARGET };
const NEEDS = [
  { need: 'noeviction', usedBy: 'queues' },
  { need: 'persistence', usedBy: 'queues' },
] as const;

function server(facts: Partial<BootFacts>, mode: ResolvedConnection['mode'] = 'single') {
  return checkServer(
    { refused: [], ...facts },
    { ...PLACE, target: { ...TARGET, mode } as ResolvedConnection },
  );
}

describe('checkServer', () => {
  it.each(['5.0.14', '6.0.16', '2.8'])('refuses version %s and says which is needed', (version) => {
    expect(server({ version })).toEqual([
      { level: 'error', reason: 'VERSION', text: expect.stringMatching(/too old; use Redis 6\.2 or later/) },
    ]);
  });

  it.each(['6.2.0', '7.0.15', '10.1', 'unstable', undefined])('takes version %s', (version) => {
    expect(server(version === undefined ? {} : { version })).toEqual([]);
  });

  it.each([-7_000, 60_000])('warns about clocks that differ by %s ms', (clockSkewMs) => {
    expect(server({ clockSkewMs })).toEqual([
      {
        level: 'warning',
        reason: 'CLOCK',
        text: expect.stringContaining(`${Math.abs(clockSkewMs) / 1000} s`),
      },
    ]);
    expect(server({ clockSkewMs: 4_000 })).toEqual([]);
  });

  it('judges the kind of server only where a single one is configured', () => {
    expect(server({ mode: 'cluster', role: 'replica' }, 'cluster')).toEqual([]);
    expect(server({ role: 'replica' }, 'sentinel')).toEqual([]);
    expect(checkServer({ refused: [], role: 'replica' }, { connection: 'default' })).toEqual([]);
    expect(server({ role: 'replica' })).toMatchObject([{ level: 'error', reason: 'REPLICA' }]);
  });
});

describe('checkNeeds', () => {
  it('ends the start in production when any of the servers evicts, and warns elsewhere', () => {
    const facts = [
      { evictionPolicy: 'noeviction', persistent: true, refused: [] },
      { evictionPolicy: 'volatile-lru', persistent: true, refused: [] },
    ];

    expect(checkNeeds(facts, NEEDS, 'production')).toMatchObject([{ level: 'error', reason: 'EVICTION' }]);
    expect(checkNeeds(facts, NEEDS, 'test')).toMatchObject([{ level: 'warning', reason: 'EVICTION' }]);
    expect(checkNeeds(facts, [], 'production')).toEqual([]);
  });

  it('warns about missing persistence in production alone', () => {
    const facts = [{ evictionPolicy: 'noeviction', persistent: false, refused: [] }];

    expect(checkNeeds(facts, NEEDS, 'production')).toMatchObject([
      { level: 'warning', reason: 'PERSISTENCE' },
    ]);
    expect(checkNeeds(facts, NEEDS, 'development')).toEqual([]);
  });

  it('notes what it could not see', () => {
    const facts = [{ refused: ['INFO (NOPERM)', 'CONFIG (NOPERM)'] }];

    expect(checkNeeds(facts, NEEDS, 'production')).toEqual([
      { level: 'note', reason: 'SKIPPED', text: expect.stringContaining('INFO (NOPERM), CONFIG (NOPERM)') },
    ]);
  });
});
