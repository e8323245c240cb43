/**
 * What operators answer with their accounts, beside what their agents declare. An answer counts as a name in the agent's
 * own consent: a yes as one in `join`, a no as one in `leave`; the agent's own no wins over an account's yes.
 */
import { type Consent, type Isolation, NO_CONSENT } from '@subcloud/policy/consent';
import type { NodeRecord, World } from './world.ts';

export interface OperatorAnswer {
  readonly answer: 'accepted' | 'declined';
  /** Of a yes: the most that the Subcloud may isolate. */
  readonly isolation: Isolation;
  readonly by: string;
  readonly atMs: number;
}

/** The operator's consent as it stands, both ways of giving it together. Pure. */
export function consentOf({ subclouds }: Pick<World, 'subclouds'>, node: NodeRecord): Consent {
  const declared = node.consent ?? NO_CONSENT;
  if (node.answers.size === 0) return declared;
  const join = [...declared.join];
  const leave = [...(declared.leave ?? [])];
  for (const [subcloudId, { answer, isolation }] of node.answers) {
    // By the id and not by the name: who has said yes to one Subcloud has said nothing to a later one of its name.
    const name = subclouds.get(subcloudId)?.name;
    if (name === undefined) continue;
    if (answer === 'declined') leave.push(name);
    else if (declared.byAccount !== false) join.push({ name, isolation });
  }
  return { ...declared, join, leave };
}

/** For the node's document: the isolation that its operator has accepted with its account. */
export function acceptedFor(node: NodeRecord, subcloudId: string): Isolation | undefined {
  const answer = node.answers.get(subcloudId);
  return answer?.answer === 'accepted' ? answer.isolation : undefined;
}
