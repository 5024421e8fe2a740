import { errorCode } from './managed-connection.js';
import { safeReply } from './error-mapping.js';

/** What a failed first connection means for the start of the application. */
export interface BootDiagnosis {
  /** Code or first word of the error. */
  reason: string;
  /** Waiting longer cannot help. */
  permanent: boolean;
  /** What happened and what to change, in one sentence. */
  advice: string;
}

interface Rule {
  matches: (code: string, message: string) => boolean;
  permanent: boolean;
  advice: string;
}

const byCode =
  (...codes: string[]) =>
  (code: string): boolean =>
    codes.includes(code);
const byText = (pattern: RegExp) => (_code: string, message: string) => pattern.test(message);

const RULES: readonly Rule[] = [
  {
    matches: (code, message) => code === 'WRONGPASS' || /^ERR invalid password/i.test(message),
    permanent: true,
    advice: 'the server refused the user name or password; check REDIS_USERNAME and REDIS_PASSWORD',
  },
  {
    matches: byCode('NOAUTH'),
    permanent: true,
    advice: 'the server requires a password; set REDIS_PASSWORD',
  },
  {
    matches: byCode('NOPERM'),
    permanent: true,
    advice: 'the ACL user lacks a permission; grant it +ping, +info, +client and the commands in use',
  },
  {
    matches: byText(/DB index is out of range|invalid DB index/i),
    permanent: true,
    advice: 'the server has no such database; check REDIS_DB or the path of REDIS_URL',
  },
  {
    matches: byText(/max number of clients/i),
    permanent: true,
    advice: 'the server accepts no more clients; raise maxclients or close idle clients',
  },
  {
    matches: byText(/SELECT is not allowed in cluster mode|cluster support disabled/i),
    permanent: true,
    advice:
      'the server is of the other kind; use REDIS_CLUSTER_NODES for a Cluster and REDIS_URL for a single server',
  },
  {
    matches: byText(/unknown command .{0,3}(info|select|hello)/i),
    permanent: true,
    advice: 'this is not a data server; a Sentinel belongs into REDIS_SENTINEL_HOSTS',
  },
  {
    matches: byCode('ENOTFOUND'),
    permanent: true,
    advice: 'the host name does not resolve; check REDIS_URL or REDIS_HOST',
  },
  {
    matches: byCode('EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'),
    permanent: true,
    advice: 'the port does not speak TLS; use redis:// instead of rediss://, or the TLS port',
  },
  {
    matches: byCode(
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
    ),
    permanent: true,
    advice: 'the server certificate is not trusted for this host; check REDIS_TLS_CA_FILE and the host name',
  },
  {
    matches: (code) => /^ERR_SSL_.*ALERT/.test(code),
    permanent: true,
    advice:
      'the server ended the TLS handshake; if it asks for a client certificate, set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE',
  },
  {
    matches: byCode('ECONNREFUSED'),
    permanent: false,
    advice: 'nothing listens there; start the server or check REDIS_URL or REDIS_HOST and REDIS_PORT',
  },
  {
    matches: byCode('ECONNRESET', 'EPIPE'),
    permanent: false,
    advice: 'the server closed the connection before it answered; if it wants TLS, use rediss://',
  },
  {
    matches: byText(/timed? ?out/i),
    permanent: false,
    advice: 'the server did not answer in time; check host, firewall and whether the port speaks TLS',
  },
];

/** Explains why a connection did not become ready. For a Cluster the last node's error decides. */
export function diagnoseBoot(failure: Error | undefined): BootDiagnosis {
  const error = (failure as { lastNodeError?: Error } | undefined)?.lastNodeError ?? failure;
  if (!error) {
    return { reason: 'TIMEOUT', permanent: false, advice: 'the server did not answer; check host and port' };
  }
  const reason = errorCode(error);
  const rule = RULES.find(({ matches }) => matches(reason, error.message));
  return rule
    ? { reason, permanent: rule.permanent, advice: rule.advice }
    : { reason, permanent: false, advice: safeReply(error.message) };
}
