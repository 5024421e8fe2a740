// npm leaves optional packages for other platforms out of the lock file when the registry it talks to
// does not offer them, and `npm ci` then refuses the lock file. This adds the missing entries, as
// their parents pin them; they are installed only on the platform they are for.
// `--check` writes nothing and fails when something is missing.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './lib/run.mjs';

const FILES = ['package-lock.json', 'bench/package-lock.json'];
const SYSTEMS = [
  'darwin',
  'linux',
  'win32',
  'android',
  'freebsd',
  'openharmony',
  'openbsd',
  'netbsd',
  'sunos',
  'aix',
];
const PROCESSORS = ['arm64', 'x64', 'arm', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'wasm32'];
const LIBRARIES = { musl: ['musl', 'musleabihf'], glibc: ['gnu', 'gnueabihf', 'glibc'] };

/** @typedef {{ version?: string, dev?: boolean, optional?: boolean, optionalDependencies?: Record<string, string> }} Entry */

/** Platform fields from the words of a package name such as `@swc/core-linux-x64-gnu`. @param {string} name */
function platformOf(name) {
  const words = (name.split('/').at(-1) ?? '').split('-');
  const os = SYSTEMS.filter((word) => words.includes(word));
  const cpu = PROCESSORS.filter((word) => words.includes(word));
  const libc = Object.entries(LIBRARIES).flatMap(([library, marks]) =>
    marks.some((mark) => words.includes(mark)) ? [library] : [],
  );
  return {
    ...(cpu.length > 0 ? { cpu } : {}),
    ...(libc.length > 0 && os.includes('linux') ? { libc } : {}),
    ...(os.length > 0 ? { os } : {}),
  };
}

/** Whether `name` is found from `path`, the way Node looks. @param {Record<string, Entry>} packages @param {string} path @param {string} name */
function resolves(packages, path, name) {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`]) return true;
    if (folder === '') return false;
    if (!folder.includes('/node_modules/')) folder = '';
    if (folder === '') return packages[`node_modules/${name}`] !== undefined;
  }
}

/** Adds what is missing and gives the names. @param {Record<string, Entry>} packages */
function complete(packages) {
  const added = [];
  for (const [path, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (!/^\d+\.\d+\.\d+/.test(version) || resolves(packages, path, name)) continue;
      const dev = entry.dev ? { dev: true } : {};
      packages[`node_modules/${name}`] = { version, ...platformOf(name), ...dev, optional: true };
      added.push(name);
    }
  }
  return added;
}

for (const file of FILES) {
  const path = join(root, file);
  const lock = JSON.parse(readFileSync(path, 'utf8'));
  const added = complete(lock.packages);
  if (added.length === 0) continue;
  if (process.argv.includes('--check')) {
    process.stderr.write(`${file} lacks ${added.length} entries; run: node scripts/complete-lock.mjs\n`);
    process.exitCode = 1;
    continue;
  }
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en'));
  writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`);
  process.stdout.write(`${file}: ${added.length} entries added\n`);
}
