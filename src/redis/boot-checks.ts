import type { Environment } from '../config/index.js';
import type { BootFacts, StorageFacts } from './boot-facts.js';
import { BootSettings, type BootPlace } from './boot-settings.js';

/**
 * What a capability needs of its server: `noeviction` where a key that the server drops on its own
 * breaks a promise, `persistence` where data must survive a restart of the server.
 */
export type ConnectionNeed = 'noeviction' | 'persistence';

/** A need and who has it. */
export interface DeclaredNeed {
  readonly need: ConnectionNeed;
  /** Who needs it, in the words of the message: `queues`. */
  readonly usedBy: string;
}

/** What a check found. */
export interface BootFinding {
  /** `error` ends start-up, `warning` and `note` are logged. */
  readonly level: 'error' | 'warning' | 'note';
  /** Name of the cause, such as `REPLICA`. */
  readonly reason: string;
  /** What is wrong and how to mend it. */
  readonly text: string;
}

/** Oldest version whose commands Rednest uses. */
export const MINIMUM_VERSION = '6.2';

/** Difference between the clocks that is worth a warning, in milliseconds. */
const MAX_CLOCK_SKEW_MS = 5_000;

/** Judges whether a connection leads to the kind of server it is configured for. */
export function checkServer(facts: BootFacts, place: BootPlace): BootFinding[] {
  return [
    ...placeFaults(facts, place),
    ...versionFaults(facts),
    ...permissionFaults(facts, place),
    ...warnings(facts, place),
  ];
}

/** Judges whether a server keeps what the capabilities on it rely on. */
export function checkNeeds(
  facts: readonly StorageFacts[],
  needs: readonly DeclaredNeed[],
  environment: Environment,
): BootFinding[] {
  const findings: BootFinding[] = [];
  const isProduction = environment === 'production';
  const evicting = usersOf(needs, 'noeviction');
  const policy = facts
    .map(({ evictionPolicy }) => evictionPolicy)
    .find((name) => name && name !== 'noeviction');
  if (evicting && policy) findings.push(evictionFinding(policy, evicting, isProduction));
  const storing = usersOf(needs, 'persistence');
  if (isProduction && storing && facts.some(({ persistent }) => persistent === false)) {
    findings.push(persistenceFinding(storing));
  }
  const refused = [...new Set(facts.flatMap((fact) => (isComplete(fact) ? [] : fact.refused)))];
  if (refused.length > 0) findings.push(skipped(refused, 'eviction policy and persistence'));
  return findings;
}

function placeFaults({ mode, role }: BootFacts, place: BootPlace): BootFinding[] {
  const settings = new BootSettings(place);
  const kind = place.target?.mode;
  if (kind !== 'single' && kind !== 'unix') return [];
  if (mode === 'sentinel') {
    const fix = `put it into ${settings.name('sentinelHosts')} (with ${settings.name('sentinelName')}), or name the server in ${settings.address}`;
    return [fault('SENTINEL_AS_SERVER', `a Sentinel answers there, not a data server; ${fix}`)];
  }
  if (mode === 'cluster') {
    const fix = `use ${settings.name('clusterNodes')} instead of ${settings.address}`;
    return [fault('CLUSTER_NODE', `the server is one node of a Cluster; ${fix}`)];
  }
  if (role !== 'replica') return [];
  const fix = `name the primary in ${settings.address}, or use ${settings.name('sentinelHosts')}`;
  return [fault('REPLICA', `the server is a replica and refuses writes; ${fix}`)];
}

function versionFaults({ version }: BootFacts): BootFinding[] {
  if (version === undefined || !isOlder(version, MINIMUM_VERSION)) return [];
  return [
    fault(
      'VERSION',
      `the server has version ${version}, which is too old; use Redis ${MINIMUM_VERSION} or later, or Valkey`,
    ),
  ];
}

function permissionFaults({ pingRefused }: BootFacts, place: BootPlace): BootFinding[] {
  if (pingRefused !== 'NOPERM') return [];
  const name = new BootSettings(place).name('username');
  return [fault('NOPERM', `the user of ${name} may not run PING; grant it +@connection`)];
}

function warnings(facts: BootFacts, place: BootPlace): BootFinding[] {
  const { clockSkewMs = 0, passwordUnused, scriptsRefused, refused } = facts;
  const findings: BootFinding[] = [];
  if (Math.abs(clockSkewMs) > MAX_CLOCK_SKEW_MS) {
    const seconds = Math.round(Math.abs(clockSkewMs) / 1000);
    const text = `the clocks of this machine and of the server differ by ${seconds} s; synchronise them (NTP)`;
    findings.push({ level: 'warning', reason: 'CLOCK', text });
  }
  if (passwordUnused) {
    const name = new BootSettings(place).name('password');
    const text = `${name} is set, but the server takes clients without a password; give it one (requirepass), or remove the setting`;
    findings.push({ level: 'warning', reason: 'PASSWORD_UNUSED', text });
  }
  if (scriptsRefused) {
    const name = new BootSettings(place).name('username');
    const text = `the user of ${name} may not run scripts, which rate limits, queues and the cache need; grant it +@scripting +time`;
    findings.push({ level: 'warning', reason: 'NOPERM', text });
  }
  const unseen = refused.filter((entry) => entry.startsWith('TIME'));
  if (unseen.length > 0) findings.push(skipped(unseen, 'clock'));
  return findings;
}

function evictionFinding(policy: string, usedBy: string, isProduction: boolean): BootFinding {
  return {
    level: isProduction ? 'error' : 'warning',
    reason: 'EVICTION',
    text: `the server may evict keys (maxmemory-policy ${policy}), which loses data of ${usedBy}; set maxmemory-policy noeviction, or give ${usedBy} a server of their own${isProduction ? '' : '; production refuses to start'}`,
  };
}

function persistenceFinding(usedBy: string): BootFinding {
  const text = `the server writes neither append-only file nor snapshots: a restart of it loses data of ${usedBy}; set appendonly yes`;
  return { level: 'warning', reason: 'PERSISTENCE', text };
}

function skipped(refused: readonly string[], what: string): BootFinding {
  return {
    level: 'note',
    reason: 'SKIPPED',
    text: `check of ${what} skipped, refused: ${refused.join(', ')}`,
  };
}

function fault(reason: string, text: string): BootFinding {
  return { level: 'error', reason, text };
}

function usersOf(needs: readonly DeclaredNeed[], wanted: ConnectionNeed): string | undefined {
  const users = new Set(needs.filter(({ need }) => need === wanted).map(({ usedBy }) => usedBy));
  return users.size === 0 ? undefined : [...users].join(' and ');
}

function isComplete({ evictionPolicy, persistent }: StorageFacts): boolean {
  return evictionPolicy !== undefined && persistent !== undefined;
}

function isOlder(version: string, minimum: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = minimum.split('.').map(Number);
  if (Number.isNaN(major)) return false;
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}
