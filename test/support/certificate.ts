import { generateKeyPairSync, randomBytes, sign, type KeyPairKeyObjectResult } from 'node:crypto';

/** A certificate with its private key, both PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority of a test. */
export interface TestAuthority {
  /** Its own certificate, PEM. */
  readonly cert: string;
  /** Issues a certificate for `localhost` and 127.0.0.1, good for a server as well as for a client. */
  issue(commonName: string): TestCertificate;
}

/** A self-signed certificate for `localhost` and 127.0.0.1; valid from 2020 to 2049, or to 2021. */
export function createCertificate({ expired = false } = {}): TestCertificate {
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return issue(
    'localhost',
    pair,
    'localhost',
    pair,
    [alternativeNames(), authority()],
    expired ? '210101000000Z' : undefined,
  );
}

/** Creates an authority without any tool outside Node. */
export function createAuthority(): TestAuthority {
  const own = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const { cert } = issue('test authority', own, 'test authority', own, [authority()]);
  return {
    cert,
    issue: (commonName) => {
      const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
      return issue(commonName, pair, 'test authority', own, [alternativeNames()]);
    },
  };
}

function issue(
  subject: string,
  { publicKey, privateKey }: KeyPairKeyObjectResult,
  issuer: string,
  signer: KeyPairKeyObjectResult,
  extensions: Buffer[],
  until = '491231235959Z',
): TestCertificate {
  const algorithm = sequence(oid('2a8648ce3d040302'));
  const validity = sequence(der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from(until)));
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    distinguishedName(issuer),
    validity,
    distinguishedName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = der(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, signer.privateKey)]));
  return {
    cert: toPem(sequence(body, algorithm, signature)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function distinguishedName(commonName: string): Buffer {
  return sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(commonName)))));
}

function alternativeNames(): Buffer {
  const names = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])));
  return sequence(oid('551d11'), der(0x04, names));
}

/** Marks the certificate as its own authority, so that it can serve as `ca`. */
function authority(): Buffer {
  return sequence(oid('551d13'), der(0x04, sequence(der(0x01, Buffer.from([0xff])))));
}

function der(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), length(content.length), content]);
}

function length(size: number): Buffer {
  if (size < 0x80) return Buffer.from([size]);
  return size < 0x100 ? Buffer.from([0x81, size]) : Buffer.from([0x82, size >> 8, size & 0xff]);
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function integer(bytes: Buffer): Buffer {
  return der(0x02, bytes);
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

function toPem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
