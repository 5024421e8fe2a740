import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bin, root, runNode } from './run.mjs';

const INPUTS = ['src', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'nest-cli.json'];

/** @param {string} path @returns {number} */
function newest(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return 0;
  if (!stats.isDirectory()) return stats.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
}

/** Builds `dist` when it is missing or older than its sources. Exits with 1 when the build fails. */
export async function buildIfNeeded() {
  const built = statSync(join(root, 'dist', 'main.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const changed = Math.max(...INPUTS.map((name) => newest(join(root, name))));
  if (built > changed) return;
  const code = await runNode([bin('@nestjs/cli', 'nest'), 'build']);
  if (code !== 0) process.exit(code);
}
