import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { HostPort, ResolvedConnection, ResolvedTls } from '../config/index.js';
import { diagnoseBoot, isAmbiguous, type BootDiagnosis } from './boot-diagnosis.js';
import { BootSettings, type BootPlace } from './boot-settings.js';
import { tlsOptions } from './client-factory.js';

/** Longest time a probe of one address may take, in milliseconds. */
export const PROBE_MS = 1000;

/** How many addresses of a Sentinel or Cluster list are looked at. */
const MAX_ADDRESSES = 3;

type Address = HostPort | { readonly path: string };

/** What came back from a bare socket. */
interface Echo {
  /** First bytes received, as Latin-1; empty when nothing came. */
  readonly text: string;
  /** Why the socket failed. */
  readonly error?: Error;
  /** The server ended the connection. */
  readonly closed: boolean;
  /** A TLS session was agreed on. */
  readonly secured: boolean;
}

/**
 * Looks at a server through a bare socket, for the faults the client cannot see: it is turned away
 * before its first command, TLS meets plain text, a Cluster has no slots. Sends `PING`, and the login
 * alone where a Cluster has to be asked for its state. Ends within a second per socket.
 *
 * @returns `undefined` when it finds nothing that explains a failure
 */
export async function probeServer(place: BootPlace): Promise<BootDiagnosis | undefined> {
  const { target } = place;
  if (!target) return undefined;
  const tls = target.mode === 'sentinel' ? target.sentinelTls : target.tls;
  const findings = await Promise.all(
    addressesOf(target).map((address) => probeAddress(address, tls, place, target)),
  );
  // One address that is merely away leaves hope; a permanent fault has to be that of all of them.
  const finding = findings.find((each) => !each?.permanent) ?? findings[0];
  // What is merely away, the client has said in the words of Sentinel.
  return target.mode === 'sentinel' && !finding?.permanent ? undefined : finding;
}

function addressesOf(target: ResolvedConnection): readonly Address[] {
  switch (target.mode) {
    case 'unix':
      return [{ path: target.path }];
    case 'single':
      return [{ host: target.host, port: target.port }];
    case 'sentinel':
      return target.hosts.slice(0, MAX_ADDRESSES);
    case 'cluster':
      return target.nodes.slice(0, MAX_ADDRESSES);
  }
}

async function probeAddress(
  address: Address,
  tls: ResolvedTls | undefined,
  place: BootPlace,
  target: ResolvedConnection,
): Promise<BootDiagnosis | undefined> {
  if ('path' in address && !existsSync(dirname(address.path))) return missingFolder(place);
  const plain = await exchange(connectPlain(address), 'connect', PING);
  const answer = plainAnswer(plain, tls !== undefined, place);
  if (answer) return answer;
  if (/^[+-]/.test(plain.text))
    return target.mode === 'cluster' ? clusterState(address, target, place) : undefined;
  if (plain.error && !isReset(plain.error)) return named(plain.error, place);
  if ('path' in address) return undefined;
  return tls ? secureAnswer(address, tls, target, place) : plainToTls(address, place);
}

const PING = 'PING\r\n';

function missingFolder(place: BootPlace): BootDiagnosis {
  const name = new BootSettings(place).name('url');
  return {
    reason: 'ENOENT',
    permanent: true,
    advice: `not even the folder of the socket exists; check the path in ${name}`,
  };
}

/** What an answer in plain text tells. */
function plainAnswer({ text }: Echo, wantsTls: boolean, place: BootPlace): BootDiagnosis | undefined {
  const settings = new BootSettings(place);
  if (/^-(ERR max number of clients|DENIED)/.test(text)) return diagnoseBoot(new Error(text.slice(1)), place);
  if (text.startsWith('HTTP/')) {
    const advice = `something that speaks HTTP answers there, not Redis; check ${settings.address}`;
    return { reason: 'NOT_REDIS', permanent: true, advice };
  }
  if (!wantsTls || !/^[+-]/.test(text)) return undefined;
  const advice = `the port speaks plain text, the TLS handshake gets no answer; use ${settings.tlsOff}, or the TLS port`;
  return { reason: 'PLAIN_PORT', permanent: true, advice };
}

/** A plain client got nothing: the port may want TLS. */
async function plainToTls(address: HostPort, place: BootPlace): Promise<BootDiagnosis | undefined> {
  const echo = await exchange(connectSecure(address, undefined), 'secureConnect', '');
  const speaksTls = echo.secured || (echo.error !== undefined && isTlsFault(echo.error));
  if (!speaksTls) return undefined;
  const settings = new BootSettings(place);
  return {
    reason: 'TLS_REQUIRED',
    permanent: true,
    advice: `the port speaks TLS; use ${settings.tlsOn}`,
  };
}

/** The TLS settings of the connection, without the client in between: shows the alert it may have lost. */
async function secureAnswer(
  address: HostPort,
  tls: ResolvedTls,
  target: ResolvedConnection,
  place: BootPlace,
): Promise<BootDiagnosis | undefined> {
  const echo = await exchange(connectSecure(address, tls), 'secureConnect', PING);
  if (/^-(ERR max number of clients|DENIED)/.test(echo.text))
    return diagnoseBoot(new Error(echo.text.slice(1)), place);
  if (echo.error) return named(echo.error, place);
  return target.mode === 'cluster' && echo.text !== '' ? clusterState(address, target, place) : undefined;
}

/** A Cluster that is not complete refuses nobody, the client just never becomes ready. */
async function clusterState(
  address: Address,
  target: ResolvedConnection,
  place: BootPlace,
): Promise<BootDiagnosis | undefined> {
  const { username = 'default', password, tls } = target;
  const login = password === undefined ? '' : encode(['AUTH', username, password]);
  const socket = tls && !('path' in address) ? connectSecure(address, tls) : connectPlain(address);
  const question = login + encode(['CLUSTER', 'INFO']);
  const { text } = await exchange(
    socket,
    tls ? 'secureConnect' : 'connect',
    question,
    /cluster_known_nodes|^-/m,
  );
  if (/^cluster_state:ok/m.test(text)) return undefined;
  const reply = /^-(\w.*)/m.exec(text)?.[1];
  if (reply) return named(new Error(reply), place);
  const slots = /^cluster_slots_ok:(\d+)/m.exec(text)?.[1];
  if (slots === undefined) return undefined;
  const { advice, ...rest } = diagnoseBoot(new Error('CLUSTERDOWN'), place);
  return { ...rest, advice: `${advice} (${slots} of 16384 slots are served)` };
}

/** A diagnosis only when it says more than the client did. */
function named(error: Error, place: BootPlace): BootDiagnosis | undefined {
  const diagnosis = diagnoseBoot(error, place);
  return isAmbiguous(diagnosis) ? undefined : diagnosis;
}

function isReset({ code }: Error & { code?: unknown }): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function isTlsFault(error: Error): boolean {
  const { code } = error as { code?: unknown };
  // A fault of the certificate, or an alert of the server: both need a server that speaks TLS.
  return typeof code === 'string' && /CERT|SIGNATURE|HOSTNAME|ALERT/.test(code);
}

function connectPlain(address: Address): Socket {
  return 'path' in address ? connect(address.path) : connect(address.port, address.host);
}

function connectSecure({ host, port }: HostPort, tls: ResolvedTls | undefined): Socket {
  return connectTls({ host, port, ...(tls ? tlsOptions(tls) : {}) });
}

/** Sends a text once connected and collects the answer until `done` matches, the end, or the deadline. */
function exchange(
  socket: Socket,
  opened: 'connect' | 'secureConnect',
  text: string,
  done = /\n/,
): Promise<Echo> {
  return new Promise((resolve) => {
    const state = { text: '', closed: false, secured: false };
    const finish = (change: Partial<Echo> = {}): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ ...state, ...change });
    };
    const timer = setTimeout(finish, PROBE_MS);
    // Stays attached after the end: a destroyed socket may still report an error.
    socket.on('error', (error) => finish({ error }));
    socket.on('close', () => finish({ closed: true }));
    socket.on(opened, () => {
      state.secured = opened === 'secureConnect';
      if (text === '') finish();
      else socket.write(text);
    });
    socket.on('data', (data) => {
      state.text += data.toString('latin1').slice(0, 4096);
      if (done.test(state.text) || state.text.length > 16_384) finish();
    });
  });
}

/** A command in the protocol of Redis. */
function encode(parts: readonly string[]): string {
  return `*${parts.length}\r\n${parts.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('')}`;
}
