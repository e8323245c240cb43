/**
 * Credentials: a prefix that tells the kind, 256 random bits, and a checksum, so that secret scanners recognise them
 * and a mistyped one is told from a wrong one. Only the SHA-256 is ever stored or compared.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';

export const SECRET_PREFIXES = {
  account: 'sck',
  subcloud: 'sct',
  join: 'scj',
  gateway: 'scg',
  admin: 'sca',
  invitation: 'sci',
  session: 'scs',
  device: 'scd',
} as const;
export type SecretKind = keyof typeof SECRET_PREFIXES;

const SECRET = /^(sck|sct|scj|scg|sca|sci|scs|scd)_([A-Za-z0-9_-]{43})([0-9a-z]{7})$/;

/** A new secret, for example `sck_…` with 43 characters of randomness and 7 of checksum. */
export function newSecret(kind: SecretKind): string {
  const body = randomBytes(32).toString('base64url');
  return `${SECRET_PREFIXES[kind]}_${body}${checksum(body)}`;
}

/** The kind of a well-formed secret, or undefined. Says nothing about whether anybody issued it. */
export function secretKind(text: string): SecretKind | undefined {
  const match = SECRET.exec(text);
  if (match === null || checksum(match[2] ?? '') !== match[3]) return undefined;
  return (Object.keys(SECRET_PREFIXES) as SecretKind[]).find((kind) => SECRET_PREFIXES[kind] === match[1]);
}

/** SHA-256 in hex. High-entropy secrets need no slow hash. */
export function hashSecret(secret: string): string {
  return hash('sha256', secret);
}

/** Compares two hex hashes in constant time. */
export function sameHash(a: string, b: string): boolean {
  const left = Buffer.from(a, 'hex');
  const right = Buffer.from(b, 'hex');
  return left.length === right.length && left.length > 0 && timingSafeEqual(left, right);
}

function checksum(body: string): string {
  return crc32(body).toString(36).padStart(7, '0');
}

/** A join token as it is printed: the secret and the fingerprint of the network that it opens. */
export function joinTokenText(secret: string, networkFingerprint: string): string {
  return `${secret}.${networkFingerprint}`;
}

export function parseJoinToken(text: string): { readonly secret: string; readonly fingerprint: string } | undefined {
  return parsePinned(text, 'join');
}

/** A gateway token has the same form as a join token, with a secret of another kind. */
export function parseGatewayToken(text: string): { readonly secret: string; readonly fingerprint: string } | undefined {
  return parsePinned(text, 'gateway');
}

function parsePinned(
  text: string,
  kind: 'join' | 'gateway',
): { readonly secret: string; readonly fingerprint: string } | undefined {
  const [secret = '', fingerprint = '', ...rest] = text.trim().split('.');
  if (rest.length > 0 || secretKind(secret) !== kind || !/^[0-9a-f]{64}$/.test(fingerprint)) return undefined;
  return { secret, fingerprint };
}
