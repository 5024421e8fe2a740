// Everything a change must pass beside the tests: format, lint, types, generated files, the build,
// documentation of exports, package shape. Runs all of it and names what failed.
import { bin, root, runNode } from './lib/run.mjs';
import { join } from 'node:path';

/** @type {[string, string[]][]} */
const STEPS = [
  ['format', [bin('prettier'), '--check', '--log-level', 'warn', '.']],
  // Before the linter: the benches import what is built, and it needs their types.
  ['build', [bin('@nestjs/cli', 'nest'), 'build']],
  ['lint', [bin('oxlint'), '--type-aware', '--deny-warnings']],
  ['types', [bin('typescript', 'tsc'), '-p', 'tsconfig.json']],
  ['lock file', [join(root, 'scripts', 'complete-lock.mjs'), '--check']],
  ['generated scripts', [join(root, 'scripts', 'build-lua.mjs'), '--check']],
  [
    'generated docs',
    ['--import', '@swc-node/register/esm-register', join(root, 'scripts', 'build-docs.ts'), '--check'],
  ],
  ['exports documented', [join(root, 'scripts', 'check-docs.mjs')]],
  ['repository', [join(root, 'scripts', 'check-repository.mjs')]],
  ['package shape', [bin('publint'), '--strict']],
  [
    'package types',
    [bin('@arethetypeswrong/cli', 'attw'), '--pack', '.', '--profile', 'esm-only', '--quiet'],
  ],
];

const failed = [];
for (const [name, args] of STEPS) {
  const startedMs = performance.now();
  const code = await runNode(args);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  process.stdout.write(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)\n`);
  if (code !== 0) failed.push(name);
}
if (failed.length > 0) {
  process.stderr.write(`check failed: ${failed.join(', ')}\n`);
  process.exitCode = 1;
}
