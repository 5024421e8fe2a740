/** Limits of the embedded server, set once before its port is told to anybody. */
import { connect } from 'node:net';
import { HOST } from './server-engine.mjs';

// Commands that stop the engine, turn it into a replica of nothing, or need a disk or `fork`.
const REFUSED_COMMANDS =
  'shutdown replicaof slaveof failover sync psync replconf migrate save bgsave bgrewriteaof';

/**
 * Sets limits through a connection of our own. The listener must report that very connection
 * before anything is sent: some systems let two processes bind one port, and a foreign server must
 * not be reconfigured.
 *
 * @param {number} port
 * @param {import('node:net').Server} server
 * @param {number} maxMemoryBytes
 */
export async function configure(port, server, maxMemoryBytes) {
  const denied = REFUSED_COMMANDS.split(' ').map((name) => `-${name}`);
  const commands = [
    ['CONFIG', 'SET', 'maxmemory', String(maxMemoryBytes), 'maxmemory-policy', 'noeviction'],
    // There is no disk: a snapshot that somebody schedules fails, and must not block writes then.
    ['CONFIG', 'SET', 'save', '', 'stop-writes-on-bgsave-error', 'no'],
    ['CONFIG', 'SET', 'loglevel', 'warning'],
    ['ACL', 'SETUSER', 'default', ...denied],
  ];
  const socket = connect(port, HOST);
  try {
    await arrives(socket, server);
    for (const command of commands) await order(socket, command);
  } finally {
    socket.destroy();
  }
}

/**
 * Waits until the connection shows up at the listener.
 *
 * @param {import('node:net').Socket} socket
 * @param {import('node:net').Server} server
 * @returns {Promise<void>}
 */
function arrives(socket, server) {
  return new Promise((resolve, reject) => {
    /** @type {Set<number | undefined>} */
    const seen = new Set();
    const check = () => {
      if (socket.localPort === undefined || !seen.has(socket.localPort)) return;
      server.off('connection', accept);
      resolve();
    };
    /** @param {import('node:net').Socket} peer */
    const accept = (peer) => {
      seen.add(peer.remotePort);
      check();
    };
    server.on('connection', accept);
    socket.once('connect', check);
    socket.on('error', reject);
  });
}

/**
 * Sends one command that answers with a single line, and checks that the line is `+OK`.
 *
 * @param {import('node:net').Socket} socket
 * @param {string[]} args
 * @returns {Promise<void>}
 */
function order(socket, args) {
  return new Promise((resolve, reject) => {
    let reply = '';
    /** @param {Buffer} data */
    const read = (data) => {
      reply += data.toString('latin1');
      if (!reply.endsWith('\r\n')) return;
      socket.off('data', read);
      if (reply === '+OK\r\n') resolve();
      else reject(new Error(`${args.slice(0, 3).join(' ')} was answered with ${reply.trim()}`));
    };
    socket.on('data', read);
    socket.once('close', () => reject(new Error('the engine closed the connection during set-up')));
    socket.write(
      `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`,
    );
  });
}
