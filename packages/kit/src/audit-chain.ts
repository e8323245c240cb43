/**
 * Checks an audit log offline: that each entry has the hash that follows from it and from all before it, that no number
 * is missing, and that the heads which the network's key has signed are in it. Whoever can write to the database can
 * rewrite entries and hashes, but not the seals; whoever deletes the end with its seals is found by a seal that is kept
 * elsewhere (the anchor, or an earlier export).
 */
import { createHash } from 'node:crypto';
import { AUDIT_START, auditEntry, chainedText } from '@subcloud/contract/audit';
import type { AuditSeal } from '@subcloud/contract/documents';
import type { AuditRecord, SealRecord } from '@subcloud/contract/routes/audit';
import { DocumentError, openDocument } from './signing.ts';

export type { SealRecord };

export interface AuditFault {
  readonly kind: 'edit' | 'gap' | 'order' | 'seal' | 'truncation';
  /** Of the entry that it was found at. */
  readonly sequence: number;
  readonly message: string;
}

export interface AuditReport {
  /** Entries read. */
  readonly entries: number;
  readonly seals: number;
  /** The newest entry that a valid seal vouches for. */
  readonly sealedTo: number;
  /** The first MAX_FAULTS. Empty: the log is whole. */
  readonly faults: readonly AuditFault[];
}

export interface AuditVerifier {
  /** The next entry, in the order of the log. */
  entry(record: AuditRecord): void;
  /** In its order, anywhere after the entry that it speaks of. */
  seal(seal: SealRecord): void;
  end(): AuditReport;
}

const MAX_FAULTS = 100;

export function chainHash(sequence: number, previousHash: string, entry: string): string {
  return createHash('sha256')
    .update(chainedText(sequence, previousHash, entry))
    .digest('hex');
}

/** Throws DocumentError where the seal is not one of this network. */
export function openSeal({ document, certificate }: SealRecord, networkKeys: readonly string[]): AuditSeal {
  const key = networkKeys.find((networkKey) => isCertifiedBy(certificate, networkKey));
  if (key === undefined) throw new DocumentError('its signing key has no certificate by the network key');
  const { publicKey, networkId, issuedAt, notAfter } = openDocument(certificate, 'signing-key', key);
  const seal = openDocument(document, 'audit-seal', publicKey);
  if (seal.networkId !== networkId) throw new DocumentError('it is of another network');
  if (seal.issuedAt < issuedAt || seal.issuedAt > notAfter)
    throw new DocumentError('its signing key was not valid when it was made');
  return seal;
}

function isCertifiedBy(certificate: SealRecord['certificate'], networkKey: string): boolean {
  try {
    openDocument(certificate, 'signing-key', networkKey);
    return true;
  } catch {
    return false;
  }
}

/**
 * `networkKeys`: raw public keys, base64url, that are known to be the network's. `anchors`: seals that were kept
 * elsewhere than in the log.
 */
export function createAuditVerifier(
  networkKeys: readonly string[],
  anchors: readonly SealRecord[] = [],
): AuditVerifier {
  const faults: AuditFault[] = [];
  const fault = (kind: AuditFault['kind'], sequence: number, message: string): void => {
    if (faults.length < MAX_FAULTS) faults.push({ kind, sequence, message });
  };
  const opened = (seal: SealRecord, at: number): AuditSeal | undefined => {
    try {
      return openSeal(seal, networkKeys);
    } catch (error) {
      fault('seal', at, `a seal does not hold: ${error instanceof Error ? error.message : 'unreadable'}`);
      return undefined;
    }
  };
  const anchored = anchors.flatMap((anchor) => opened(anchor, 0) ?? []);
  /** Hashes that seals may still speak of: since the last seal. */
  const hashes = new Map<number, string>();
  let last = { sequence: 0, hash: AUDIT_START };
  let entries = 0;
  let seals = 0;
  let lastSeal = 0;
  let sealedTo = 0;
  /** From the first fault on nothing is known to follow from the beginning. */
  let isWhole = true;

  const requireSealed = (seal: AuditSeal, hash: string | undefined): boolean => {
    if (hash === seal.hash) return true;
    const what = hash === undefined ? 'is not there' : 'or what stands before it is not what was sealed';
    fault('seal', seal.sequence, `entry ${seal.sequence} ${what}`);
    return false;
  };

  return {
    entry({ sequence, hash, entry }) {
      entries += 1;
      if (sequence !== last.sequence + 1) {
        isWhole = false;
        if (sequence > last.sequence) fault('gap', sequence, `entries are missing before entry ${sequence}`);
        else fault('order', sequence, `entry ${sequence} stands after entry ${last.sequence}`);
      } else if (chainHash(sequence, last.hash, entry) !== hash) {
        isWhole = false;
        fault('edit', sequence, `entry ${sequence} was changed, or its hash, or what stands before it`);
      }
      if (!isEntry(entry)) fault('edit', sequence, `entry ${sequence} has not the form of an entry`);
      last = { sequence, hash };
      hashes.set(sequence, hash);
      for (const anchor of anchored) if (anchor.sequence === sequence) requireSealed(anchor, hash);
    },
    seal(record) {
      seals += 1;
      const seal = opened(record, last.sequence);
      if (seal === undefined) return;
      if (seal.previous !== lastSeal)
        fault(
          'seal',
          seal.sequence,
          `the seal before that of entry ${seal.sequence} is gone: it spoke of ${seal.previous}`,
        );
      if (requireSealed(seal, hashes.get(seal.sequence)) && isWhole) sealedTo = seal.sequence;
      lastSeal = seal.sequence;
      for (const known of hashes.keys()) if (known <= seal.sequence) hashes.delete(known);
    },
    end() {
      for (const { sequence } of anchored) {
        if (sequence > last.sequence)
          fault('truncation', sequence, `entry ${sequence} was sealed and is gone: the log ends at ${last.sequence}`);
        else if (sequence > lastSeal) fault('truncation', sequence, `the seal of entry ${sequence} is gone`);
      }
      return { entries, seals, sealedTo, faults };
    },
  };
}

function isEntry(text: string): boolean {
  try {
    return auditEntry.safeParse(JSON.parse(text)).success;
  } catch {
    return false;
  }
}
