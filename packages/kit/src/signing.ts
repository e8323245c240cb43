/**
 * Ed25519 keys and signed documents (RFC 8032). A document is checked in one place: type, signer, signature, shape,
 * network, time. Whatever does not hold throws `DocumentError` with the reason; nothing is half-trusted.
 */
import {
  type KeyObject,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
} from 'node:crypto';
import {
  type DocumentBody,
  type DocumentType,
  type SignedDocument,
  type SigningKeyCertificate,
  type TrustChain,
  SIGNING_KEY_VALID_MS,
  documentBodies,
} from '@subcloud/contract/documents';

export interface SigningKey {
  /** Raw public key, base64url. */
  readonly publicKey: string;
  /** SHA-256 of the raw public key, hex. */
  readonly fingerprint: string;
  readonly privateKey: KeyObject;
}

export class DocumentError extends Error {
  override readonly name = 'DocumentError';
}

export function generateSigningKey(): SigningKey {
  return fromPrivateKey(generateKeyPairSync('ed25519').privateKey);
}

/** PKCS#8 for an Ed25519 key (RFC 8410, section 7), up to its 32 bytes. */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** A key for one purpose, always the same from the same key and purpose; from it nobody learns the key it was made of. */
export function deriveSigningKey(key: SigningKey, purpose: string): SigningKey {
  const { d } = key.privateKey.export({ format: 'jwk' });
  if (d === undefined) throw new DocumentError('not an Ed25519 key');
  const seed = createHmac('sha256', Buffer.from(d, 'base64url')).update(purpose).digest();
  const pkcs8 = Buffer.concat([ED25519_PKCS8, seed]);
  return fromPrivateKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
}

/** PKCS#8 PEM, for a 0600 file. */
export function exportSigningKey(key: SigningKey): string {
  return key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export function importSigningKey(pem: string): SigningKey {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') throw new DocumentError('the key file does not hold an Ed25519 key');
  return fromPrivateKey(key);
}

function fromPrivateKey(privateKey: KeyObject): SigningKey {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (x === undefined) throw new DocumentError('not an Ed25519 key');
  return { publicKey: x, fingerprint: fingerprintOf(x), privateKey };
}

export function fingerprintOf(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64url')).digest('hex');
}

/** base64url. */
export function signText(key: SigningKey, text: string): string {
  return sign(null, Buffer.from(text), key.privateKey).toString('base64url');
}

/** False for anything that is not a valid signature by this key, whatever it is. */
export function verifyText(publicKey: string, text: string, signature: string): boolean {
  // One signature has one spelling: the last digit of base64url has bits that count for nothing.
  if (!isCanonical(signature) || !isCanonical(publicKey)) return false;
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
    return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64url'));
  } catch {
    return false;
  }
}

function isCanonical(base64url: string): boolean {
  return Buffer.from(base64url, 'base64url').toString('base64url') === base64url;
}

export function signDocument<Type extends DocumentType>(
  key: SigningKey,
  type: Type,
  body: DocumentBody<Type>,
): SignedDocument {
  const text = JSON.stringify(body);
  return { type, body: text, signer: key.fingerprint, signature: signText(key, `subcloud/v1/${type}\n${text}`) };
}

/** What the network key says of a signing key; valid for SIGNING_KEY_VALID_MS from now. */
export function certifySigningKey(
  networkKey: SigningKey,
  of: { readonly networkId: string; readonly publicKey: string },
  nowMs: number,
): SignedDocument {
  const notAfter = nowMs + SIGNING_KEY_VALID_MS;
  return signDocument(networkKey, 'signing-key', { version: 1, ...of, issuedAt: nowMs, notAfter });
}

/** The body of a document that `publicKey` signed. Throws DocumentError. */
export function openDocument<Type extends DocumentType>(
  document: SignedDocument,
  type: Type,
  publicKey: string,
): DocumentBody<Type> {
  if (document.type !== type) throw new DocumentError(`expected a ${type} document, got ${document.type}`);
  if (document.signer !== fingerprintOf(publicKey))
    throw new DocumentError(`the ${type} document names another signer`);
  if (!verifyText(publicKey, `subcloud/v1/${type}\n${document.body}`, document.signature)) {
    throw new DocumentError(`the signature of the ${type} document does not hold`);
  }
  let value: unknown;
  try {
    value = JSON.parse(document.body);
  } catch {
    throw new DocumentError(`the ${type} document is not JSON`);
  }
  const parsed = documentBodies[type].safeParse(value);
  if (!parsed.success)
    throw new DocumentError(`the ${type} document has another shape: ${parsed.error.issues[0]?.path.join('.') ?? ''}`);
  return parsed.data as DocumentBody<Type>;
}

/**
 * The signing keys that a chain vouches for, for a network whose fingerprint is known beforehand. `nowMs` is the best
 * knowledge of control's time; a little slack covers clocks that disagree.
 */
export function openChain(chain: TrustChain, fingerprint: string, nowMs: number): readonly SigningKeyCertificate[] {
  if (fingerprintOf(chain.networkKey) !== fingerprint)
    throw new DocumentError('this is another network: its key has another fingerprint');
  const valid: SigningKeyCertificate[] = [];
  for (const document of chain.signingKeys) {
    const certificate = openDocument(document, 'signing-key', chain.networkKey);
    if (certificate.networkId !== chain.networkId) throw new DocumentError('the chain mixes networks');
    if (certificate.notAfter > nowMs && certificate.issuedAt <= nowMs + CLOCK_SLACK_MS) valid.push(certificate);
  }
  if (valid.length === 0)
    throw new DocumentError('every signing key of the chain has expired (or the clock here is wrong)');
  return valid;
}

/** How far the clocks of two parties may differ before a document from the future is refused. */
export const CLOCK_SLACK_MS = 300_000;

/** A document that one of the chain's signing keys signed. Throws DocumentError. */
export function openSignedByChain<Type extends 'gateway' | 'control' | 'node'>(
  document: SignedDocument,
  type: Type,
  signers: readonly SigningKeyCertificate[],
  nowMs: number,
): DocumentBody<Type> {
  const signer = signers.find(({ publicKey }) => fingerprintOf(publicKey) === document.signer);
  if (signer === undefined) throw new DocumentError(`the ${type} document is signed by no signing key of this network`);
  const body = openDocument(document, type, signer.publicKey);
  if (body.networkId !== signer.networkId) throw new DocumentError(`the ${type} document is of another network`);
  if (body.notAfter <= nowMs) throw new DocumentError(`the ${type} document has expired`);
  if (body.issuedAt > nowMs + CLOCK_SLACK_MS)
    throw new DocumentError(`the ${type} document is from the future: the clock here may be wrong`);
  return body;
}
