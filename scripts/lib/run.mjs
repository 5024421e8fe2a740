import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const require = createRequire(import.meta.url);

/**
 * Path of a package's command, so that it can be run with this Node and without a shell.
 * @param {string} packageName @param {string} [command] @returns {string}
 */
export function bin(packageName, command = packageName) {
  const manifest = join(root, 'node_modules', packageName, 'package.json');
  const { bin: entries } = require(manifest);
  const entry = typeof entries === 'string' ? entries : entries[command];
  return join(dirname(manifest), entry);
}

/**
 * Runs Node with arguments and resolves to its exit code. Output is passed on, and collected when
 * `onOutput` is given.
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, onOutput?: (text: string) => void }} [options]
 * @returns {Promise<number>}
 */
export function runNode(args, { cwd = root, env = process.env, onOutput } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd,
      env,
      stdio: ['inherit', onOutput ? 'pipe' : 'inherit', onOutput ? 'pipe' : 'inherit'],
    });
    for (const [from, to] of /** @type {const} */ ([
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ])) {
      from?.on('data', (/** @type {Buffer} */ data) => {
        to.write(data);
        onOutput?.(data.toString());
      });
    }
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ? 1 : (code ?? 1)));
  });
}
