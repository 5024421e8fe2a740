import { describe, expect, it } from '@jest/globals';
import { diagnoseBoot } from './boot-diagnosis.js';

function failure(message: string, code?: string): Error {
  return Object.assign(new Error(message), code ? { code } : {});
}

const PERMANENT: readonly [Error, string, RegExp][] = [
  [failure('WRONGPASS invalid username-password pair or user is disabled.'), 'WRONGPASS', /REDIS_PASSWORD/],
  [failure('ERR invalid password'), 'ERR', /REDIS_PASSWORD/],
  [failure('NOAUTH Authentication required.'), 'NOAUTH', /set REDIS_PASSWORD/],
  [failure("NOPERM User app has no permissions to run the 'info' command"), 'NOPERM', /ACL user/],
  [failure('ERR DB index is out of range'), 'DB_OUT_OF_RANGE', /REDIS_DB/],
  [failure('ERR invalid DB index'), 'DB_OUT_OF_RANGE', /REDIS_DB/],
  [failure('ERR max number of clients reached'), 'MAXCLIENTS', /maxclients/],
  [failure('ERR max number of clients + cluster connections reached'), 'MAXCLIENTS', /maxclients/],
  [failure('ERR SELECT is not allowed in cluster mode'), 'CLUSTER_NODE', /REDIS_CLUSTER_NODES/],
  [failure('ERR This instance has cluster support disabled'), 'NOT_A_CLUSTER', /REDIS_URL/],
  [
    failure("ERR unknown command 'INFO', with args beginning with:"),
    'SENTINEL_AS_SERVER',
    /REDIS_SENTINEL_HOSTS/,
  ],
  [failure('ERR unknown command `SELECT`'), 'SENTINEL_AS_SERVER', /REDIS_SENTINEL_HOSTS/],
  [failure('getaddrinfo ENOTFOUND nowhere', 'ENOTFOUND'), 'ENOTFOUND', /does not resolve/],
  [failure('write EPROTO 1:error:0A00010B', 'EPROTO'), 'EPROTO', /does not speak TLS/],
  [failure('wrong version number', 'ERR_SSL_WRONG_VERSION_NUMBER'), 'ERR_SSL_WRONG_VERSION_NUMBER', /redis:/],
  [
    failure('self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT'),
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    /REDIS_TLS_CA_FILE/,
  ],
  [failure('certificate has expired', 'CERT_HAS_EXPIRED'), 'CERT_HAS_EXPIRED', /REDIS_TLS_CA_FILE/],
  [
    failure("Hostname/IP does not match certificate's altnames", 'ERR_TLS_CERT_ALTNAME_INVALID'),
    'ERR_TLS_CERT_ALTNAME_INVALID',
    /host name/,
  ],
  [
    failure('alert number 116', 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'),
    'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    /REDIS_TLS_CERT_FILE/,
  ],
];

const TRANSIENT: readonly [Error | undefined, string, RegExp][] = [
  [undefined, 'TIMEOUT', /did not answer/],
  [failure('connect ECONNREFUSED 127.0.0.1:6379', 'ECONNREFUSED'), 'ECONNREFUSED', /nothing listens/],
  [failure('', 'ECONNREFUSED'), 'ECONNREFUSED', /nothing listens/],
  [failure('read ECONNRESET', 'ECONNRESET'), 'ECONNRESET', /rediss:/],
  [failure('write EPIPE', 'EPIPE'), 'EPIPE', /rediss:/],
  [failure('connect ETIMEDOUT', 'ETIMEDOUT'), 'ETIMEDOUT', /firewall/],
  [failure('connect ETIMEDOUT'), 'Error', /firewall/],
  [failure("Socket timeout. Expecting data, but didn't receive any in 2000ms."), 'SOCKET_TIMEOUT', /in time/],
  [failure('LOADING Redis is loading the dataset in memory'), 'LOADING', /loading/],
  [failure('getaddrinfo EAI_AGAIN db', 'EAI_AGAIN'), 'EAI_AGAIN', /EAI_AGAIN/],
  [failure('Connection is closed.'), 'CONNECTION_CLOSED', /closed/],
];

describe('diagnoseBoot', () => {
  it.each(PERMANENT)('ends the start for %p', (error, reason, advice) => {
    expect(diagnoseBoot(error)).toEqual({ reason, permanent: true, advice: expect.stringMatching(advice) });
  });

  it.each(TRANSIENT)('waits for %p', (error, reason, advice) => {
    expect(diagnoseBoot(error)).toEqual({ reason, permanent: false, advice: expect.stringMatching(advice) });
  });

  it('looks at the error of the last node when a whole Cluster failed', () => {
    const error = Object.assign(new Error('Failed to refresh slots cache.'), {
      lastNodeError: failure('WRONGPASS invalid username-password pair'),
    });

    expect(diagnoseBoot(error)).toMatchObject({ reason: 'WRONGPASS', permanent: true });
    expect(diagnoseBoot(Object.assign(error, { lastNodeError: null }))).toMatchObject({ permanent: false });
  });

  it('does not repeat what the server quotes from the command', () => {
    const { advice } = diagnoseBoot(
      failure("ERR unknown thing 'canary', with args beginning with: 'canary'"),
    );

    expect(advice).not.toContain('canary');
  });
});
