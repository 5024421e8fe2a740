// Runs jest and fails as well when a test file leaves something open. Arguments go to jest.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildIfNeeded } from './lib/build-if-needed.mjs';
import { bin, root, runNode } from './lib/run.mjs';

/** What jest prints when a test left a handle open; it may still answer 0 then. */
const LEAKS = [
  'A worker process has failed to exit gracefully',
  'Jest did not exit one second after the test run has completed',
  'You are trying to `import` a file after the Jest environment has been torn down',
  'Cannot log after tests are done',
];

await buildIfNeeded();
const report = join(root, '.tmp', 'jest-result.json');
mkdirSync(join(root, '.tmp'), { recursive: true });
rmSync(report, { force: true });

let output = '';
const code = await runNode(
  [
    '--disable-warning=ExperimentalWarning',
    '--experimental-vm-modules',
    bin('jest'),
    '--json',
    `--outputFile=${report}`,
    ...process.argv.slice(2),
  ],
  {
    env: { ...process.env, NODE_OPTIONS: '--disable-warning=ExperimentalWarning' },
    onOutput: (text) => void (output = (output + text).slice(-2_000_000)),
  },
);

// Figures that tests print are made into a page by scripts/publish-run.mjs.
writeFileSync(join(root, '.tmp', 'jest-output.txt'), output);
const result = JSON.parse(readFileSync(report, 'utf8'));
const leaks = LEAKS.filter((text) => output.includes(text));
for (const leak of leaks) process.stderr.write(`open handles: ${leak}\n`);
const failed = result.numFailedTests + result.numRuntimeErrorTestSuites + leaks.length;
const skipped = result.numPendingTests + result.numTodoTests;
const refused = process.env['REDNEST_REQUIRE_NATIVE'] ? skipped : 0;
if (refused > 0)
  process.stderr.write(`REDNEST_REQUIRE_NATIVE is set: ${refused} tests must not be skipped\n`);
process.exitCode = code === 0 && failed === 0 && refused === 0 ? 0 : 1;
process.stdout.write(`${result.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`);
