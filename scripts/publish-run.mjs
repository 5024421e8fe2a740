// Writes two pages from the last complete test run: which topologies passed what
// (docs/compatibility.md), and the figures the fault tests printed (docs/failure-figures.md).
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { root } from './lib/run.mjs';

/** @typedef {{ ancestorTitles: string[], title: string, status: string }} Assertion */
/** @type {{ testResults: { name: string, assertionResults: Assertion[] }[] }} */
const result = JSON.parse(readFileSync(join(root, '.tmp', 'jest-result.json'), 'utf8'));
const output = readFileSync(join(root, '.tmp', 'jest-output.txt'), 'utf8');

/** @param {string} file @returns {Assertion[]} */
function testsOf(file) {
  return result.testResults.find(({ name }) => name.endsWith(file))?.assertionResults ?? [];
}

/** One row per group of tests. @param {string} file @param {(test: Assertion) => string | undefined} group */
function tally(file, group) {
  /** @type {Map<string, { passed: number, total: number }>} */
  const rows = new Map();
  for (const test of testsOf(file)) {
    const name = group(test);
    if (name === undefined) continue;
    const row = rows.get(name) ?? { passed: 0, total: 0 };
    row.total += 1;
    if (test.status === 'passed') row.passed += 1;
    rows.set(name, row);
  }
  return [...rows].map(([name, { passed, total }]) => `| ${name} | ${passed} of ${total} |`);
}

const machine = `Node ${process.version}, ${cpus().length} cores, Linux ${release().split('-')[0]}`;
const service = tally('e2e/service.spec.ts', ({ ancestorTitles: [outer = '', inner] }) =>
  outer.startsWith('reference service on')
    ? outer.replace('reference service on ', '') + (inner ? ` ${inner}` : '')
    : undefined,
);
const capabilities = tally('integration/topologies.spec.ts', ({ ancestorTitles }) => ancestorTitles.at(-1));
const packages = testsOf('consumer/packed-install.spec.ts').map(
  ({ title, status }) => `| ${title} | ${status} |`,
);

const compatibility = `# Compatibility

Written by \`node scripts/publish-run.mjs\` from a complete run of the tests (${machine}).

## The reference service, the same suite everywhere

| HTTP adapter and server | tests passed |
| --- | --- |
${service.join('\n')}

## Every capability, configured by environment variables alone

| topology | tests passed |
| --- | --- |
${capabilities.join('\n')}

## The packed package

| test | result |
| --- | --- |
${packages.join('\n')}

On Nest 11 every subpath works but \`rednest/health\`: it needs Terminus 12, which needs Nest 12. An
application on Nest 11 that has Terminus 11 installed gets a peer conflict from npm; it installs with
\`--legacy-peer-deps\` and leaves \`rednest/health\` alone.

Servers: Redis 7.0 (Debian's package) and Valkey 9.1 (the embedded engine) run in the tests. Redis 6.2 is
the oldest version the boot check lets pass.
`;

const lines = output.split('\n').flatMap((line) => {
  const match = /^(F\d\d)\b[: ]?(.*)$/.exec(line.trim());
  return match ? [{ row: match[1] ?? '', text: (match[2] ?? '').trim() }] : [];
});
const figures = `# Failure figures

Written by \`node scripts/publish-run.mjs\` from a complete run of the tests (${machine}). One run on a
shared machine: take the times as ±30 %. The tests assert the counts exactly and the times with a margin.

| row | what was seen |
| --- | --- |
${lines
  .sort((a, b) => a.row.localeCompare(b.row))
  .map(({ row, text }) => `| ${row} | ${text.replaceAll('|', '/')} |`)
  .join('\n')}
`;

for (const [name, text] of Object.entries({
  'compatibility.md': compatibility,
  'failure-figures.md': figures,
})) {
  const path = join(root, 'docs', name);
  writeFileSync(path, await format(text, { ...(await resolveConfig(path)), filepath: path }));
}
