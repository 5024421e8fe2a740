import { ENVIRONMENT_VARIABLES } from './variables.js';

/** Names other tools use for what Rednest reads under another one. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  REDIS_USER: 'REDIS_USERNAME',
  REDIS_PASS: 'REDIS_PASSWORD',
  REDIS_AUTH: 'REDIS_PASSWORD',
  REDIS_DATABASE: 'REDIS_DB',
  REDIS_HOSTNAME: 'REDIS_HOST',
  REDIS_PREFIX: 'REDIS_KEY_PREFIX',
  REDIS_SENTINELS: 'REDIS_SENTINEL_HOSTS',
  REDIS_MASTER_NAME: 'REDIS_SENTINEL_NAME',
  REDIS_CLUSTER: 'REDIS_CLUSTER_NODES',
};

/**
 * Warns about variables that start with `REDIS` and look like a misspelt one of ours.
 *
 * @returns one sentence per variable; values are not part of it
 */
export function misspeltVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const known: readonly string[] = ENVIRONMENT_VARIABLES;
  return Object.keys(env)
    .filter((name) => /^REDIS/i.test(name) && env[name] && !known.includes(name))
    .map((name) => ({ name, meant: OTHER_NAMES[name] ?? nearest(name.toUpperCase(), known) }))
    .filter(({ meant }) => meant !== undefined)
    .map(({ name, meant }) => `${name} is set but not read; did you mean ${meant}?`);
}

/**
 * Finds the known name that a misspelt one most likely stands for: at most two letters changed,
 * added, left out or swapped; one in names of which little but the prefix is left.
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance <= tolerance(candidate) && distance < (best?.distance ?? Infinity)) {
      best = { name: candidate, distance };
    }
  }
  return best?.name;
}

function tolerance(name: string): number {
  return name.replace(/^REDIS_/, '').length <= 4 ? 1 : 2;
}

/** Edit distance in which swapping two neighbours counts as one step (optimal string alignment). */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) row.push(nextCell(a, b, i, j, row, rows));
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

function nextCell(a: string, b: string, i: number, j: number, row: number[], rows: number[][]): number {
  const above = rows[i - 1]!;
  const cost = a[i - 1] === b[j - 1] ? 0 : 1;
  const plain = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + cost);
  const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
  return isSwap ? Math.min(plain, rows[i - 2]![j - 2]! + 1) : plain;
}
