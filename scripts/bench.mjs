// Installs what the benchmarks compare with, builds the library when needed, and runs bench/run.ts.
// Arguments go to it: --quick (smoke run), --json (write results and docs), --only <capability>,
// --server native|embedded, --rounds <n>.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildIfNeeded } from './lib/build-if-needed.mjs';
import { root, runNode } from './lib/run.mjs';

const bench = join(root, 'bench');

/** Path of npm's own script: running it with this Node needs no shell, also on Windows. */
function npmCli() {
  const beside = dirname(process.execPath);
  const candidates = [
    process.env['npm_execpath'] ?? '',
    join(beside, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(beside, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ];
  const found = candidates.find((path) => path.endsWith('npm-cli.js') && existsSync(path));
  if (!found) throw new Error('npm was not found; run "npm ci --prefix bench" and start again');
  return found;
}

if (!existsSync(join(bench, 'node_modules'))) {
  const code = await runNode([npmCli(), 'ci', '--prefix', bench]);
  if (code !== 0) process.exit(code);
}
await buildIfNeeded();
// One measures server processes over HTTP, one compares answers instead of speed: they run by themselves.
const only = process.argv[process.argv.indexOf('--only') + 1] ?? '';
const alone = new Map([
  ['rate-limit-guard', 'rate-limit-guard.bench.ts'],
  ['cache-semantics', 'cache-semantics.ts'],
]);
process.exitCode = await runNode(
  [
    '--disable-warning=ExperimentalWarning',
    '--disable-warning=DEP0205',
    '--expose-gc',
    '--import',
    '@swc-node/register/esm-register',
    join(bench, alone.get(only) ?? 'run.ts'),
    ...process.argv.slice(2),
  ],
  { env: { ...process.env, NODE_ENV: 'test', SWC_NODE_PROJECT: join(bench, 'tsconfig.json') } },
);
