/**
 * The node document in force: the agent's own lock. Invariants: it was signed by this network for this node and key; no
 * lower (epoch, serial) is ever accepted, also after a restart; it is on disk before it is acknowledged; an expired one
 * permits nothing. It is replaced whole, so a request sees one document or the next and never a mixture.
 */
import type { NodeDocument, NodeMembership, SignedDocument, TrustChain } from '@subcloud/contract/documents';
import { DocumentError, fingerprintOf, openChain, openDocument, openSignedByChain } from '@subcloud/kit/signing';
import type { ControlTime } from '../control-time.ts';
import type { NodeStateStore } from './node-state.ts';

export interface DocumentPosition {
  readonly epoch: number;
  readonly serial: number;
}

export interface CurrentDocument {
  readonly position: DocumentPosition;
  /** Of the document in force; zero without one. */
  readonly tableVersion: number;
  /**
   * Checks, persists, applies. Throws DocumentError with the reason when it does not hold, and an I/O error when it
   * cannot be stored; in both cases the document before stays in force.
   */
  accept(document: SignedDocument): NodeDocument;
  /** Takes a newer chain. Throws DocumentError; a document whose signer it no longer names stops to be in force. */
  adoptChain(chain: TrustChain): void;
  /** Undefined when the pool is not in the document, when there is none, and when it has expired. */
  membership(pool: string): NodeMembership | undefined;
  serves(membership: NodeMembership, model: string): boolean;
  /** Names of the pools of the document in force, sorted; empty when it has expired. */
  pools(): readonly string[];
  /** Names of pools that the document in force has the node leave. */
  draining(): readonly string[];
  gateways(): NodeDocument['gateways'];
  onChange(listener: () => void): void;
}

export function createCurrentDocument(options: {
  readonly state: NodeStateStore;
  readonly nodeKey: string;
  readonly time: ControlTime;
}): CurrentDocument {
  const { state, nodeKey, time } = options;
  const listeners: (() => void)[] = [];
  let inForce: NodeDocument | undefined;
  let memberships = new Map<string, NodeMembership>();
  let models = new Map<NodeMembership, ReadonlySet<string>>();

  const apply = (document: NodeDocument | undefined): void => {
    inForce = document;
    memberships = new Map((document?.memberships ?? []).map((membership) => [membership.pool, membership]));
    models = new Map((document?.memberships ?? []).map((membership) => [membership, new Set(membership.models)]));
    if (document !== undefined) time.signed(document.issuedAt);
  };
  const open = (signed: SignedDocument, chain: TrustChain): NodeDocument => {
    const nowMs = time.nowMs();
    const signers = openChain(chain, state.current.fingerprint, nowMs);
    const document = openSignedByChain(signed, 'node', signers, nowMs);
    if (document.nodeId !== state.current.nodeId || document.nodeKey !== nodeKey) {
      throw new DocumentError('the node document is for another node');
    }
    return document;
  };
  const holds = (): boolean => inForce !== undefined && inForce.notAfter > time.nowMs();
  const notify = (): void => {
    for (const listener of listeners) listener();
  };

  apply(restore(state, nodeKey));
  return {
    get position() {
      return { epoch: state.current.epoch, serial: state.current.serial };
    },
    get tableVersion() {
      return inForce?.tableVersion ?? 0;
    },
    accept(signed) {
      const document = open(signed, state.current.chain);
      const { epoch, serial } = state.current;
      if (document.epoch < epoch || (document.epoch === epoch && document.serial < serial)) {
        throw new DocumentError(
          `the node document (${document.epoch}.${document.serial}) is older than one seen before (${epoch}.${serial})`,
        );
      }
      if (document.epoch === epoch && document.serial === serial && inForce !== undefined) {
        // The same position twice is the same document twice, or a network that contradicts itself.
        if (state.current.document?.body !== signed.body) {
          throw new DocumentError(`two different node documents carry the position ${epoch}.${serial}`);
        }
        return inForce;
      }
      state.save({ epoch: document.epoch, serial: document.serial, document: signed });
      apply(document);
      notify();
      return document;
    },
    adoptChain(chain) {
      if (chain.networkId !== state.current.networkId) throw new DocumentError('the chain is of another network');
      openChain(chain, state.current.fingerprint, time.nowMs());
      if (JSON.stringify(chain) === JSON.stringify(state.current.chain)) return;
      state.save({ chain });
      const held = state.current.document;
      if (inForce === undefined || held === null) return;
      try {
        open(held, chain);
      } catch {
        apply(undefined);
        notify();
      }
    },
    membership(pool) {
      return holds() ? memberships.get(pool) : undefined;
    },
    serves: (membership, model) => models.get(membership)?.has(model) === true,
    draining: () => inForce?.draining ?? [],
    gateways: () => inForce?.gateways ?? [],
    pools: () => (holds() ? [...memberships.keys()].toSorted() : []),
    onChange: (listener) => {
      listeners.push(listener);
    },
  };
}

/**
 * The stored document, if it still is what was stored. Whether it has expired is asked at every use, by control's time,
 * which is not known yet.
 */
function restore(state: NodeStateStore, nodeKey: string): NodeDocument | undefined {
  const { document, chain, fingerprint, nodeId } = state.current;
  if (document === null || fingerprintOf(chain.networkKey) !== fingerprint) return undefined;
  for (const certificate of chain.signingKeys) {
    try {
      const { publicKey } = openDocument(certificate, 'signing-key', chain.networkKey);
      const body = openDocument(document, 'node', publicKey);
      if (body.nodeId === nodeId && body.nodeKey === nodeKey) return body;
    } catch {
      // Another of the chain's keys may have signed it.
    }
  }
  return undefined;
}
