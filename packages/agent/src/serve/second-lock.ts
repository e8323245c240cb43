/**
 * The second lock: whatever a gateway says, this node answers only for pools and models of its own signed document,
 * while that document holds, and while its operator permits it. Consent is asked of the settings of this moment: an
 * operator who leaves is obeyed before the network has heard of it.
 */
import type { NodeMembership } from '@subcloud/contract/documents';
import type { Consent, PrincipalId } from '@subcloud/contract/vocabulary';
import { consentsByAccount, consentsByName, consentsToAutoJoin, offersModel, refuses } from '@subcloud/policy/consent';
import type { CurrentDocument } from '../state/current-document.ts';
import { LockRefusal } from './refusal.ts';

export interface LockQuestion {
  readonly pool: string;
  readonly model: string;
}

/** Throws LockRefusal. */
export function checkLock(
  { pool, model }: LockQuestion,
  against: { readonly document: CurrentDocument; readonly consent: Consent; readonly operator: PrincipalId },
): void {
  const membership = against.document.membership(pool);
  if (membership === undefined) throw new LockRefusal('This node is no member of the pool, by its own document.');
  if (!against.document.serves(membership, model)) {
    throw new LockRefusal('This node does not serve the model in the pool, by its own document.');
  }
  if (offersModel(against.consent, pool)?.(model) === false) {
    throw new LockRefusal('The operator of this node does not offer the model in the pool.');
  }
  if (!permits(against.consent, membership, against.operator)) {
    throw new LockRefusal('The operator of this node does not permit the pool.');
  }
}

function permits(consent: Consent, membership: NodeMembership, operator: PrincipalId): boolean {
  const { pool, owner, isolation, labels, allows } = membership;
  // By the name and not by a missing owner: a Subcloud must not pass for the global network.
  if (pool === 'global') return consent.global;
  if (owner === null) return false;
  if (refuses(consent, pool)) return false;
  const question = { name: pool, owner, isolation, private: membership.private, labels, models: allows };
  return (
    owner === operator ||
    consentsByName(consent, question) ||
    consentsByAccount(consent, membership.accepted, question) ||
    consentsToAutoJoin(consent, question)
  );
}
