import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createCertificate } from '../../test/support/certificate.js';
import { ConfigurationError } from '../common/index.js';
import type { TlsOptions } from './options.js';
import { resolveConfiguration } from './resolve.js';
import type { ResolvedTls } from './resolved.js';

const own = createCertificate();
const other = createCertificate();
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rednest-tls-'));
  writeFileSync(join(folder, 'cert.pem'), own.cert);
  writeFileSync(join(folder, 'key.pem'), own.key);
  writeFileSync(join(folder, 'bundle.pem'), `# authorities\n${own.cert}${other.cert}`);
});

afterAll(() => rmSync(folder, { recursive: true }));

function resolveTls(tls: TlsOptions): ResolvedTls {
  return resolveConfiguration({ host: 'db', tls }, {}).connections.get('default')!.tls!;
}

function faultsOf(tls: TlsOptions): string {
  try {
    resolveTls(tls);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.faults.join('\n');
    throw error;
  }
  return '';
}

describe('TLS material', () => {
  it('is read from the files of the environment at once', () => {
    const env = {
      REDIS_URL: 'rediss://db',
      REDIS_TLS_CA_FILE: join(folder, 'bundle.pem'),
      REDIS_TLS_CERT_FILE: join(folder, 'cert.pem'),
      REDIS_TLS_KEY_FILE: join(folder, 'key.pem'),
    };

    const tls = resolveConfiguration({}, env).connections.get('default')!.tls!;

    expect([tls.ca?.includes(other.cert), tls.cert, tls.key]).toEqual([true, own.cert, own.key]);
  });

  it('may be text, bytes or a file in options', () => {
    const tls = resolveTls({
      ca: Buffer.from(own.cert),
      cert: own.cert,
      keyFile: join(folder, 'key.pem'),
      servername: 'x',
    });

    expect({ ...tls }).toEqual({ ca: own.cert, cert: own.cert, key: own.key, servername: 'x' });
  });

  it('is refused when the key belongs to another certificate', () => {
    expect(faultsOf({ cert: own.cert, key: other.key })).toMatch(
      /"tls.key" does not belong to the client certificate/,
    );
  });

  it('is refused when it is damaged', () => {
    const damaged = own.cert.replace(/\n[A-Za-z0-9+/]{8}/, '\nAAAAAAAA');

    expect(faultsOf({ ca: damaged })).toMatch(/"tls.ca" holds a damaged PEM certificate/);
    expect(faultsOf({ ca: own.cert.slice(0, 200) })).toMatch(/"tls.ca" holds no PEM certificate/);
    expect(faultsOf({ cert: own.cert, key: own.key.replace(/\n[A-Za-z0-9+/]{8}/, '\nAAAAAAAA') })).toMatch(
      /damaged private key/,
    );
    expect(faultsOf({ cert: own.cert, key: own.cert })).toMatch(/"tls.key" holds no PEM private key/);
  });

  it('is refused when the key is encrypted', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const key = privateKey
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' })
      .toString();

    expect(faultsOf({ cert: own.cert, key })).toMatch(/"tls.key" holds an encrypted private key/);
  });

  it('is refused when a path holds PEM text or a directory, and never repeats it', () => {
    expect(faultsOf({ caFile: folder })).toMatch(/"tls.caFile" names a directory/);
    expect(faultsOf({ cert: own.cert, keyFile: own.key })).toMatch(
      /"tls.keyFile" holds PEM text in place of a file path/,
    );
    expect(faultsOf({ cert: own.cert, keyFile: own.key })).not.toContain('BEGIN PRIVATE');
    expect(faultsOf({ caFile: 'certs/ca.pem' })).toMatch(
      /does not exist \(the path is relative to the working directory\)/,
    );
  });
});
