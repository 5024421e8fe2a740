import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { ConfigurationError } from '../common/index.js';
import { collect, textProblem, type Labelled } from './faults.js';
import type { ResolvedTls } from './resolved.js';
import { conceal } from './secrets.js';

/** TLS settings of one server before they are read; every item knows its name. */
export interface TlsInput {
  readonly enabled?: Labelled<boolean>;
  readonly ca?: Labelled<string>;
  readonly cert?: Labelled<string>;
  readonly key?: Labelled<string>;
  readonly caFile?: Labelled<string>;
  readonly certFile?: Labelled<string>;
  readonly keyFile?: Labelled<string>;
  readonly servername?: Labelled<string>;
}

type Item = 'ca' | 'cert' | 'key';

/** The settings other than the switch that are given, in a stable order. */
export function tlsMaterial(input: TlsInput): Labelled<string>[] {
  const { ca, caFile, cert, certFile, key, keyFile, servername } = input;
  return [ca, caFile, cert, certFile, key, keyFile, servername].filter((item) => item !== undefined);
}

/**
 * Reads and checks TLS material at once, so that a missing or broken file is a start-up fault
 * and not a connection error later.
 *
 * @param faults receives one sentence per fault
 */
export function resolveTls(input: TlsInput, faults: string[]): ResolvedTls {
  const [ca, cert, key] = (['ca', 'cert', 'key'] as const).map((item) => readItem(item, input, faults));
  checkPair(input, faults);
  if (ca !== undefined) checkCertificates(ca, faults);
  if (cert !== undefined && checkCertificates(cert, faults) && key !== undefined) checkKey(cert, key, faults);
  return conceal({ ca: ca?.value, cert: cert?.value, key: key?.value, servername: input.servername?.value });
}

interface Pem {
  readonly label: string;
  readonly value: string;
}

function readItem(item: Item, input: TlsInput, faults: string[]): Pem | undefined {
  const text = input[item];
  const file = input[`${item}File`];
  if (text && file) {
    faults.push(`${text.label} and ${file.label} are both set; keep one of them`);
    return undefined;
  }
  if (text) return text.value === undefined ? undefined : { label: text.label, value: text.value };
  if (file?.value === undefined) return undefined;
  const value = collect(faults, () => readPem(file.value!, file.label));
  return value === undefined ? undefined : { label: file.label, value };
}

function readPem(path: string, label: string): string {
  const problem = path.includes('-----BEGIN') ? 'holds PEM text in place of a file path' : textProblem(path);
  if (problem) throw new ConfigurationError(`${label} ${problem}`);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError(`${label} ${readProblem((error as NodeJS.ErrnoException).code, path)}`);
  }
}

function readProblem(code: string | undefined, path: string): string {
  const place = isAbsolute(path) ? '' : ' (the path is relative to the working directory)';
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return `names a file that does not exist${place}; correct the path`;
  if (code === 'EISDIR') return 'names a directory; name the PEM file in it';
  if (code === 'EACCES' || code === 'EPERM')
    return 'names a file this process may not read; change its permissions';
  return `names a file that cannot be read (${code ?? 'unknown error'})${place}`;
}

function checkPair(input: TlsInput, faults: string[]): void {
  const cert = input.cert ?? input.certFile;
  const key = input.key ?? input.keyFile;
  if (cert && !key)
    faults.push(`${cert.label} is set without its private key; set the key too, or remove the certificate`);
  if (key && !cert)
    faults.push(`${key.label} is set without its certificate; set the certificate too, or remove the key`);
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

function checkCertificates(pem: Pem, faults: string[]): boolean {
  const blocks = pem.value.match(CERTIFICATE) ?? [];
  if (blocks.length > 0 && blocks.every(isCertificate)) return true;
  const what = blocks.length === 0 ? 'holds no PEM certificate' : 'holds a damaged PEM certificate';
  faults.push(`${pem.label} ${what}; it must contain intact -----BEGIN CERTIFICATE----- blocks`);
  return false;
}

function isCertificate(block: string): boolean {
  try {
    return new X509Certificate(block).subject !== null;
  } catch {
    return false;
  }
}

function checkKey(cert: Pem, key: Pem, faults: string[]): void {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key.value)) {
    faults.push(`${key.label} holds no PEM private key; it must contain a -----BEGIN PRIVATE KEY----- block`);
  } else if (/ENCRYPTED/.test(key.value)) {
    faults.push(
      `${key.label} holds an encrypted private key; give an unencrypted one, protected by file permissions`,
    );
  } else {
    const problem = keyProblem(cert.value, key.value);
    if (problem) faults.push(`${key.label} ${problem}`);
  }
}

function keyProblem(cert: string, key: string): string | undefined {
  try {
    const isMatch = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
    return isMatch ? undefined : 'does not belong to the client certificate; give the key it was issued for';
  } catch {
    return 'holds a damaged private key; export it again as PEM';
  }
}
