import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** Folder of the repository. */
export const root = join(here, '..', '..');

/** Outcome of a process. */
export interface Run {
  readonly code: number;
  /** Standard output and standard error. */
  readonly output: string;
}

/** Settings of this test run that must not reach a program; those of npm and of certificates do. */
const OWN_SETTINGS = /^(npm_(?!config_)|npm_config_local_prefix$|NODE_(OPTIONS|ENV|PATH)$|REDIS_|JEST_)/;

/** Runs a program to its end; one that takes longer is killed and has code -1. */
export function run(file: string, args: readonly string[], cwd: string, timeoutMs = 60_000): Promise<Run> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OWN_SETTINGS.test(name)));
  return new Promise((resolve) => {
    execFile(file, args, { cwd, env, timeout: timeoutMs }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, output: stdout + stderr });
    });
  });
}

/** Runs Node in a folder. */
export function node(args: readonly string[], cwd: string): Promise<Run> {
  return run(process.execPath, args, cwd);
}

/** Runs npm; the one that runs the tests, if any. */
export function npm(args: readonly string[], cwd: string, timeoutMs = 120_000): Promise<Run> {
  const script = process.env['npm_execpath'];
  if (script?.endsWith('.js')) return run(process.execPath, [script, ...args], cwd, timeoutMs);
  return run('npm', args, cwd, timeoutMs);
}

/** Why the registry cannot be used, or undefined when it can. */
export async function whyOffline(): Promise<string | undefined> {
  const { code, output } = await npm(
    ['view', 'reflect-metadata', 'version', '--loglevel=error', '--fetch-retries=0'],
    root,
    20_000,
  );
  return code === 0 ? undefined : `the npm registry does not answer: ${output.trim().split('\n')[0]}`;
}

/** Versions the repository's lock file has, so that the npm cache can serve them. */
export function locked(names: readonly string[]): Record<string, string> {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string }>;
  };
  return Object.fromEntries(names.map((name) => [name, packages[`node_modules/${name}`]!.version]));
}

/** A temporary folder with the packed package, and projects that install it. */
export class Consumers {
  private folder = '';
  private tarball = '';

  /** Packs what `npm run build` left in dist. */
  async pack(): Promise<void> {
    this.folder = mkdtempSync(join(tmpdir(), 'rednest-consumer-'));
    const { code, output } = await npm(
      ['pack', '--silent', '--ignore-scripts', '--pack-destination', this.folder],
      root,
    );
    const file = readdirSync(this.folder).find((name) => name.endsWith('.tgz'));
    if (code !== 0 || !file) throw new Error(`npm pack failed: ${output}`);
    this.tarball = join(this.folder, file);
  }

  /** Installs the tarball with these packages in a project; resolves with its folder. */
  async install(
    name: string,
    type: 'module' | 'commonjs',
    dependencies: Record<string, string>,
  ): Promise<string> {
    const project = join(this.folder, name);
    this.write(name, type, { ...dependencies, rednest: `file:${this.tarball}` });
    const { code, output } = await npm(
      ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'],
      project,
    );
    if (code !== 0) throw new Error(`npm install failed in ${name}: ${output}`);
    return project;
  }

  /** A project of the other kind that shares the packages of the one it lies in. */
  nested(project: string, name: string, type: 'module' | 'commonjs'): string {
    this.write(join(project.slice(this.folder.length + 1), name), type, {});
    return join(project, name);
  }

  /** Deletes everything. */
  remove(): void {
    if (this.folder !== '') rmSync(this.folder, { recursive: true, force: true });
  }

  private write(path: string, type: string, dependencies: Record<string, string>): void {
    const folder = join(this.folder, path);
    mkdirSync(folder, { recursive: true });
    cpSync(join(here, 'project'), folder, { recursive: true });
    const manifest = { name: 'consumer', version: '1.0.0', private: true, type, dependencies };
    writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  }
}
