/**
 * The network key and the signing keys that it vouches for, in 0600 files below DATA/keys, never in the database.
 *
 * The network key signs certificates of signing keys and nothing else, so it may be taken away (network.pem moved to a safe
 * place); its public part stays. A rotation has three phases: the next key stands in the chain (`announced`) until every
 * gateway that may still serve has that chain; then it signs; the certificate of the one before stays in the chain until
 * everything that it signed has expired.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  NODE_DOCUMENT_VALID_MS,
  SIGNING_KEY_VALID_MS,
  type SignedDocument,
  type SigningKeyCertificate,
  publicKeyText,
  signedDocument,
} from '@subcloud/contract/documents';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import type { Clock } from '@subcloud/kit/clock';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import {
  type SigningKey,
  certifySigningKey,
  exportSigningKey,
  fingerprintOf,
  generateSigningKey,
  importSigningKey,
  openDocument,
} from '@subcloud/kit/signing';
import * as z from 'zod';

interface Certificate {
  readonly body: SigningKeyCertificate;
  readonly document: SignedDocument;
}
interface Held {
  readonly key: SigningKey;
  /** Undefined: the network key is away and has not vouched for it yet. */
  readonly certificate: Certificate | undefined;
}

export interface KeyStatus {
  readonly publicKey: string;
  readonly state: 'active' | 'next' | 'retired';
  /** When its certificate ends; null: it has none yet. */
  readonly notAfterMs: number | null;
}

export interface KeyRing {
  readonly networkKey: string;
  /** The network key lies here: certificates are renewed by themselves. */
  readonly networkKeyHere: boolean;
  active(): SigningKey;
  activeCertificate(): SignedDocument | undefined;
  certificates(): readonly SignedDocument[];
  status(): readonly KeyStatus[];
  /** Makes the next key. Undefined where one is on its way already, or the chain has no room for one more. */
  rotate(): KeyStatus | undefined;
  /** Takes a certificate that the network key signed elsewhere. Throws DocumentError; false where it is of no key here. */
  install(document: SignedDocument): boolean;
  /** What time alone brings. True when the chain has changed. */
  advance(): boolean;
}

/** A gateway that has not got the chain by then has no lease, so it serves nobody by documents of the new key. */
const ANNOUNCED_MS = 2 * TABLE_LEASE_MS;
const RETIRED_MS = NODE_DOCUMENT_VALID_MS + 3_600_000;
const MAX_IN_CHAIN = 4;

const ringFile = z.object({
  announcedAtMs: z.int().nonnegative().nullable(),
  retired: z.array(z.object({ document: signedDocument, untilMs: z.int() })).max(MAX_IN_CHAIN),
});
type Ring = z.infer<typeof ringFile>;

/** Throws with a readable message when a file is damaged. */
export function openKeyRing(options: {
  readonly folder: string;
  readonly networkId: string;
  readonly clock: Clock;
}): KeyRing {
  const { folder, networkId, clock } = options;
  const path = (name: string): string => join(folder, name);
  const network = readNetworkKey(path('network.pem'), path('network-public.json'));

  const certify = (key: SigningKey): Certificate | undefined => {
    if (network.key === undefined) return undefined;
    const document = certifySigningKey(network.key, { networkId, publicKey: key.publicKey }, clock.nowMs());
    return { body: openDocument(document, 'signing-key', network.publicKey), document };
  };
  const read = (name: string, key: SigningKey): Certificate | undefined =>
    readCertificate(path(name), network.publicKey, networkId, key.publicKey);
  const write = (name: string, certificate: Certificate | undefined): void => {
    if (certificate !== undefined) writeFileDurably(path(name), JSON.stringify(certificate.document));
  };

  const signing = readOrMakeKey(path('signing.pem'));
  // A crash in the middle of a change of keys leaves the new key with its certificate under the old name.
  let active: Held = { key: signing, certificate: read(ACTIVE, signing) ?? read(NEXT, signing) };
  write(ACTIVE, active.certificate);
  const nextPem = readFileIfPresent(path('signing-next.pem'));
  const nextKey = nextPem === undefined ? undefined : importSigningKey(nextPem);
  let next: Held | undefined =
    nextKey === undefined || nextKey.publicKey === signing.publicKey
      ? undefined
      : { key: nextKey, certificate: read(NEXT, nextKey) };
  let ring: Ring = readRing(path('signing-ring.json'));
  const save = (changed: Partial<Ring>): void => {
    ring = { ...ring, ...changed };
    writeFileDurably(path('signing-ring.json'), JSON.stringify(ring));
  };

  const renew = (held: Held, name: string): Held => {
    const { certificate } = held;
    if (certificate !== undefined && certificate.body.notAfter - clock.nowMs() > SIGNING_KEY_VALID_MS / 2) return held;
    const renewed = certify(held.key);
    if (renewed === undefined) return held;
    write(name, renewed);
    return { key: held.key, certificate: renewed };
  };
  const promote = (held: Held): void => {
    const { certificate: before } = active;
    const nowMs = clock.nowMs();
    // What the old key signed must go on to hold, so its certificate is safe before anything else changes.
    if (before !== undefined)
      save({ retired: [...ring.retired, { document: before.document, untilMs: nowMs + RETIRED_MS }] });
    writeFileDurably(path('signing.pem'), exportSigningKey(held.key));
    write(ACTIVE, held.certificate);
    for (const name of ['signing-next.pem', NEXT]) rmSync(path(name), { force: true });
    save({ announcedAtMs: null });
    active = held;
    next = undefined;
  };
  const advance = (): boolean => {
    const nowMs = clock.nowMs();
    const before = JSON.stringify(certificates());
    active = renew(active, ACTIVE);
    if (next !== undefined) {
      next = renew(next, NEXT);
      if (next.certificate !== undefined && ring.announcedAtMs === null) save({ announcedAtMs: nowMs });
      else if (ring.announcedAtMs !== null && nowMs - ring.announcedAtMs >= ANNOUNCED_MS) promote(next);
    }
    const kept = ring.retired.filter(({ untilMs }) => untilMs > nowMs);
    if (kept.length < ring.retired.length) save({ retired: kept });
    return JSON.stringify(certificates()) !== before;
  };
  const certificates = (): SignedDocument[] =>
    [active.certificate?.document, next?.certificate?.document, ...ring.retired.map(({ document }) => document)].filter(
      (document) => document !== undefined,
    );
  advance();

  return {
    networkKey: network.publicKey,
    networkKeyHere: network.key !== undefined,
    active: () => active.key,
    activeCertificate: () => active.certificate?.document,
    certificates,
    advance,
    status: () => [
      statusOf(active, 'active'),
      ...(next === undefined ? [] : [statusOf(next, 'next')]),
      ...ring.retired.map(({ document }): KeyStatus => {
        const { publicKey, notAfter } = openDocument(document, 'signing-key', network.publicKey);
        return { publicKey, state: 'retired', notAfterMs: notAfter };
      }),
    ],
    rotate() {
      if (next !== undefined || certificates().length >= MAX_IN_CHAIN) return undefined;
      const key = generateSigningKey();
      save({ announcedAtMs: null });
      writeFileDurably(path('signing-next.pem'), exportSigningKey(key));
      next = { key, certificate: undefined };
      advance();
      return statusOf(next, 'next');
    },
    install(document) {
      const body = openDocument(document, 'signing-key', network.publicKey);
      if (body.networkId !== networkId || body.notAfter <= clock.nowMs()) return false;
      const certificate = { body, document };
      if (body.publicKey === active.key.publicKey) {
        write(ACTIVE, certificate);
        active = { key: active.key, certificate };
      } else if (body.publicKey === next?.key.publicKey) {
        write(NEXT, certificate);
        next = { key: next.key, certificate };
      } else return false;
      advance();
      return true;
    },
  };
}

function statusOf({ key, certificate }: Held, state: 'active' | 'next'): KeyStatus {
  return { publicKey: key.publicKey, state, notAfterMs: certificate?.body.notAfter ?? null };
}

const ACTIVE = 'signing-certificate.json';
const NEXT = 'signing-next-certificate.json';

function readNetworkKey(
  pemPath: string,
  publicPath: string,
): { readonly publicKey: string; readonly key: SigningKey | undefined } {
  const publicText = readFileIfPresent(publicPath);
  const known = publicText === undefined ? undefined : publicFile.parse(JSON.parse(publicText)).publicKey;
  const pem = readFileIfPresent(pemPath);
  if (pem === undefined && known !== undefined) return { publicKey: known, key: undefined };
  const key = pem === undefined ? generateSigningKey() : importSigningKey(pem);
  if (known !== undefined && known !== key.publicKey)
    throw new Error(`${pemPath} is another key than ${publicPath} names (${fingerprintOf(known).slice(0, 16)}…)`);
  if (pem === undefined) writeFileDurably(pemPath, exportSigningKey(key));
  if (known === undefined) writeFileDurably(publicPath, JSON.stringify({ publicKey: key.publicKey }));
  return { publicKey: key.publicKey, key };
}
const publicFile = z.object({ publicKey: publicKeyText });

function readOrMakeKey(path: string): SigningKey {
  const pem = readFileIfPresent(path);
  if (pem !== undefined) return importSigningKey(pem);
  const key = generateSigningKey();
  writeFileDurably(path, exportSigningKey(key));
  return key;
}

function readRing(path: string): Ring {
  const text = readFileIfPresent(path);
  return text === undefined ? { announcedAtMs: null, retired: [] } : ringFile.parse(JSON.parse(text));
}

function readCertificate(
  path: string,
  networkKey: string,
  networkId: string,
  publicKey: string,
): Certificate | undefined {
  const text = readFileIfPresent(path);
  if (text === undefined) return undefined;
  try {
    const document = signedDocument.parse(JSON.parse(text));
    const body = openDocument(document, 'signing-key', networkKey);
    return body.publicKey === publicKey && body.networkId === networkId ? { body, document } : undefined;
  } catch {
    // A damaged certificate is made or installed again.
    return undefined;
  }
}
