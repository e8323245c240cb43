/**
 * A TLS certificate that a service makes for itself (X.509 v3). No authority signs it: whoever connects checks its key
 * against a signed document of the network, so names and dates in it decide nothing.
 */
import {
  type KeyObject,
  X509Certificate,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
} from 'node:crypto';
import { isIP } from 'node:net';
import type { SigningKey } from './signing.ts';

export interface TlsCertificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS#8. */
  readonly privateKey: string;
}

const VALID_MS = 10 * 365 * 86_400_000;
const BACKDATED_MS = 86_400_000;

/** With a new P-256 key. `hosts`: names and addresses that callers may use for it. */
export function makeTlsCertificate(hosts: readonly string[], nowMs: number): TlsCertificate {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return selfSigned(privateKey, objectId(ECDSA_WITH_SHA256), 'sha256', hosts, nowMs);
}

/** With an Ed25519 key that is there already (RFC 8410): whoever ends TLS with it has proved to hold that key. */
export function certificateOfKey(key: SigningKey, nowMs: number): TlsCertificate {
  return selfSigned(key.privateKey, objectId(ED25519), null, [], nowMs);
}

/** The raw Ed25519 key of a certificate, base64url; undefined for a key of another kind. */
export function ed25519KeyOf(certificate: X509Certificate): string | undefined {
  const { publicKey } = certificate;
  return publicKey.asymmetricKeyType === 'ed25519' ? publicKey.export({ format: 'jwk' }).x : undefined;
}

function selfSigned(
  privateKey: KeyObject,
  algorithmId: Buffer,
  digest: 'sha256' | null,
  hosts: readonly string[],
  nowMs: number,
): TlsCertificate {
  const publicKey = createPublicKey(privateKey);
  const name = der(0x30, der(0x31, der(0x30, objectId(COMMON_NAME), der(0x0c, Buffer.from('Subcloud')))));
  const algorithm = der(0x30, algorithmId);
  const signed = der(
    0x30,
    der(0xa0, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    algorithm,
    name,
    der(0x30, time(nowMs - BACKDATED_MS), time(nowMs + VALID_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(hosts.length === 0 ? [] : [der(0xa3, der(0x30, alternativeNames(hosts)))]),
  );
  const signature = sign(digest, signed, privateKey);
  const certificate = der(0x30, signed, algorithm, der(0x03, Buffer.from([0]), signature));
  return {
    certificate: pem('CERTIFICATE', certificate),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** SHA-256 in hex of the certificate's DER SubjectPublicKeyInfo. Throws when the PEM is no certificate. */
export function tlsKeySha256(certificatePem: string): string {
  const spki = new X509Certificate(certificatePem).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex');
}

const ECDSA_WITH_SHA256 = '2a8648ce3d040302';
const ED25519 = '2b6570';
const COMMON_NAME = '550403';
const SUBJECT_ALTERNATIVE_NAME = '551d11';

/** One value of ASN.1 in its distinguished encoding (X.690): tag, length, content. */
function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const { length } = body;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

function objectId(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

/** Positive, as long as the first bit is kept clear. */
function integer(bytes: Buffer): Buffer {
  const positive = Buffer.from(bytes);
  positive[0] = ((positive[0] ?? 0) & 0x7f) | (bytes.length > 1 ? 0x40 : 0);
  return der(0x02, positive);
}

/** UTCTime up to 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
function time(atMs: number): Buffer {
  const text = new Date(atMs).toISOString().replace(/[-:T]|\.\d+/g, '');
  return text < '2050' ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text));
}

function alternativeNames(hosts: readonly string[]): Buffer {
  const names = hosts.map((host) => (isIP(host) === 0 ? der(0x82, Buffer.from(host)) : der(0x87, addressBytes(host))));
  return der(0x30, objectId(SUBJECT_ALTERNATIVE_NAME), der(0x04, der(0x30, ...names)));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = new URL(`http://[${address.split('%')[0] ?? ''}]`).hostname.slice(1, -1).split('::');
  const left = groups(head);
  const right = groups(tail);
  const gap = Array.from({ length: 8 - left.length - right.length }, () => 0);
  const bytes = Buffer.alloc(16);
  for (const [index, group] of [...left, ...gap, ...right].entries()) bytes.writeUInt16BE(group, index * 2);
  return bytes;
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
