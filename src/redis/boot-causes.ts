import type { BootSettings } from './boot-settings.js';

/** What a failed connection says, in the form the causes are compared with. */
export interface BootSymptom {
  /** Code, or first word of a reply. */
  readonly code: string;
  readonly message: string;
  /** It was a Sentinel that could not be used, not the server. */
  readonly fromSentinel: boolean;
}

/** A known reason for a connection that does not become ready. */
export interface BootCause {
  readonly matches: (symptom: BootSymptom) => boolean;
  /** Name of the cause where the code of the error says too little. */
  readonly reason?: string;
  /** Waiting longer cannot help. */
  readonly permanent: boolean;
  /** What happened and what to change. */
  readonly advice: (settings: BootSettings, symptom: BootSymptom) => string;
}

const CERTIFICATE_CODES: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REVOKED',
  'HOSTNAME_MISMATCH',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

const byCode =
  (...codes: string[]) =>
  ({ code }: BootSymptom): boolean =>
    codes.includes(code);
const byText =
  (pattern: RegExp) =>
  ({ message }: BootSymptom): boolean =>
    pattern.test(message);
/** A cause that a Sentinel reports; the client passes on its text alone. */
const atSentinel =
  (pattern: RegExp) =>
  ({ fromSentinel, message }: BootSymptom): boolean =>
    fromSentinel && pattern.test(message);

const SENTINEL: readonly BootCause[] = [
  {
    matches: atSentinel(/no such master|^$/i),
    reason: 'SENTINEL_NAME',
    permanent: true,
    advice: (s) => `the Sentinels watch no primary of this name; check ${s.name('sentinelName')}`,
  },
  {
    matches: atSentinel(/^NOAUTH/),
    permanent: true,
    advice: (s) => `the Sentinels require a password; set ${s.name('sentinelPassword')}`,
  },
  {
    matches: atSentinel(/^(WRONGPASS|ERR invalid password)/),
    permanent: true,
    advice: (s) =>
      `the Sentinels refused the login; check ${s.name('sentinelUsername')} and ${s.name('sentinelPassword')}`,
  },
  {
    matches: atSentinel(/^NOPERM/),
    permanent: true,
    advice: (s) => `the user of ${s.name('sentinelUsername')} may not run SENTINEL; grant it +sentinel`,
  },
  {
    matches: atSentinel(/unknown command/i),
    reason: 'NOT_A_SENTINEL',
    permanent: true,
    advice: (s) =>
      `a data server answers there, not a Sentinel; name Sentinels (port 26379) in ${s.name('sentinelHosts')}, or the server in ${s.name('url')}`,
  },
  {
    matches: atSentinel(/certificate|altnames/i),
    reason: 'SENTINEL_CERTIFICATE',
    permanent: true,
    advice: (s) =>
      `the certificate of the Sentinels is not trusted; check ${s.name('ca')} and the host names`,
  },
  {
    matches: ({ fromSentinel, message }) => fromSentinel && !message.includes('ENOTFOUND'),
    reason: 'SENTINEL_UNREACHABLE',
    permanent: false,
    advice: (s) => `no Sentinel answered; start them or check ${s.name('sentinelHosts')}`,
  },
];

const LOGIN: readonly BootCause[] = [
  {
    matches: ({ code, message }) => code === 'WRONGPASS' || /^ERR invalid password/i.test(message),
    permanent: true,
    advice: (s) =>
      `the server refused the user name or password; check ${s.name('username')} and ${s.name('password')}`,
  },
  {
    matches: byCode('NOAUTH'),
    permanent: true,
    advice: (s) => `the server requires a password; set ${s.name('password')}`,
  },
  {
    matches: byCode('NOPERM'),
    permanent: true,
    advice: (s) =>
      `the ACL user lacks a permission; grant the user of ${s.name('username')} +@connection and the commands and keys in use`,
  },
];

const SERVER: readonly BootCause[] = [
  {
    matches: byText(/DB index is out of range|invalid DB index/i),
    reason: 'DB_OUT_OF_RANGE',
    permanent: true,
    advice: (s) => `the server has no such database; check ${s.name('db')} or the path of ${s.name('url')}`,
  },
  {
    matches: byText(/max number of clients/i),
    reason: 'MAXCLIENTS',
    permanent: true,
    advice: (s) =>
      `the server reached its max number of clients; raise its maxclients, close idle clients, or choose another server in ${s.address}`,
  },
  {
    matches: byCode('DENIED'),
    reason: 'PROTECTED_MODE',
    permanent: true,
    advice: (s) =>
      `the server is in protected mode and takes clients of its own machine alone; give it a password (and set ${s.name('password')}) or a bind address`,
  },
  {
    matches: byText(/cluster support disabled/i),
    reason: 'NOT_A_CLUSTER',
    permanent: true,
    advice: (s) =>
      `the server is no Cluster node; use ${s.name('url')} instead of ${s.name('clusterNodes')}, or start it with cluster-enabled yes`,
  },
  {
    matches: byText(/SELECT is not allowed in cluster mode/i),
    reason: 'CLUSTER_NODE',
    permanent: true,
    advice: (s) =>
      `the server is a Cluster node, which has database 0 alone; use ${s.name('clusterNodes')} and no ${s.name('db')}`,
  },
  {
    matches: byText(/unknown command .{0,3}(info|select|hello)/i),
    reason: 'SENTINEL_AS_SERVER',
    permanent: true,
    advice: (s) =>
      `this is not a data server; a Sentinel belongs into ${s.name('sentinelHosts')} (with ${s.name('sentinelName')}), not ${s.name('url')}`,
  },
  {
    matches: byCode('CLUSTERDOWN'),
    permanent: false,
    advice: (s) =>
      `the Cluster does not serve all slots; create it (redis-cli --cluster create), wait for its failover, or check ${s.name('clusterNodes')}`,
  },
  {
    matches: byCode('LOADING'),
    permanent: false,
    advice: () => 'the server is still loading its data; wait, or raise REDIS_BOOT_TIMEOUT_MS',
  },
  {
    matches: byCode('MASTERDOWN'),
    permanent: false,
    advice: (s) => `the server is a replica without its primary; check ${s.address}`,
  },
];

const TRANSPORT: readonly BootCause[] = [
  {
    matches: ({ code, message }) => code === 'ENOTFOUND' || message.includes('ENOTFOUND'),
    reason: 'ENOTFOUND',
    permanent: true,
    advice: (s) => `the host name does not resolve; check ${s.address}`,
  },
  {
    matches: byCode('EAI_AGAIN'),
    permanent: false,
    advice: (s) => `the name server did not answer (EAI_AGAIN); check the network, then ${s.address}`,
  },
  {
    matches: byCode('ENOENT'),
    permanent: false,
    advice: (s) => `there is no such socket; start the server or check the path in ${s.name('url')}`,
  },
  {
    matches: byCode('EACCES'),
    permanent: true,
    advice: (s) =>
      `this process may not open the socket; check unixsocketperm of the server and the path in ${s.name('url')}`,
  },
  {
    matches: byCode('EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'),
    permanent: true,
    advice: (s) => `the port does not speak TLS; use ${s.tlsOff}, or the TLS port`,
  },
  {
    matches: ({ code }) => CERTIFICATE_CODES.has(code),
    permanent: true,
    advice: (s, { code }) =>
      `${certificateFault(code)}; check ${s.name('ca')} and the host name in ${s.address}`,
  },
  {
    matches: ({ code }) => /^ERR_SSL_.*ALERT/.test(code),
    permanent: true,
    advice: (s) =>
      `the server ended the TLS handshake; if it asks for a client certificate, set ${s.name('cert')} and ${s.name('key')}`,
  },
  {
    matches: byCode('ECONNREFUSED'),
    permanent: false,
    advice: (s) => `nothing listens there; start the server or check ${s.listener}`,
  },
  {
    matches: byCode('ECONNRESET', 'EPIPE'),
    permanent: false,
    advice: (s) => `the server closed the connection before it answered; if it wants TLS, use ${s.tlsOn}`,
  },
  {
    matches: byText(/timed? ?out/i),
    permanent: false,
    advice: (s) =>
      `the server did not answer in time; check host, firewall and whether the port speaks TLS (${s.address})`,
  },
];

function certificateFault(code: string): string {
  if (code === 'CERT_HAS_EXPIRED') return 'the server certificate has expired; renew it';
  if (code === 'CERT_NOT_YET_VALID') return 'the server certificate is not valid yet, or the clock is wrong';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH') {
    return 'the server certificate belongs to another host name';
  }
  return 'the server certificate is not trusted for this host';
}

/** Every known cause; the first that matches explains the failure. */
export const BOOT_CAUSES: readonly BootCause[] = [...SENTINEL, ...LOGIN, ...SERVER, ...TRANSPORT];
