/**
 * The state table of the protocol, for one node, read from its text: which Subclouds the node stands where in, after what
 * it stood in before. Shares nothing with the reconciler.
 */
import { type OracleNode, type OracleSubcloud, eligibility, operatorSaysYes, ownerSaysYes } from './oracle.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const WEEK_MS = 7 * DAY_MS;

export type Standing = 'invited' | 'active' | 'suspended' | 'left' | 'removed';

export interface OracleMembership {
  readonly standing: Standing;
  /** The owner invited or assigned the node. */
  readonly assigned: boolean;
  readonly sinceMs: number;
  /** It ended because the node was away: it takes a link to come back. */
  readonly endedByAbsence: boolean;
}

export const GLOBAL = 'global';

/** What the node stands in now; `global` is one of the keys while the node is in it, or was and nothing holds it. */
export function standings(
  node: OracleNode,
  subclouds: readonly OracleSubcloud[],
  before: ReadonlyMap<string, OracleMembership>,
  nowMs: number,
): Map<string, OracleMembership> {
  const after = new Map<string, OracleMembership>();
  for (const [id, membership] of before) {
    const exists = id === GLOBAL || subclouds.some((subcloud) => subcloud.id === id);
    if (exists) continue;
    const over = membership.standing === 'left' || membership.standing === 'removed';
    after.set(id, over ? membership : end('removed', nowMs, false));
  }
  for (const subcloud of subclouds) {
    const stood = before.get(subcloud.id);
    const assigned = stood !== undefined && stood.assigned && !invitationOver(stood, nowMs);
    const stands = step(node, stood, nowMs, {
      operator: operatorSaysYes(node, subcloud, assigned),
      owner: ownerSaysYes(subcloud, assigned),
      assigned,
      open: subcloud.spec.participation.mode === 'open',
      eligible: eligibility(subcloud.spec, node.facts, nowMs).eligible,
    });
    if (stands !== undefined) after.set(subcloud.id, stands);
  }
  if (isolatingHolders(subclouds, after).length > 0) return after;
  const stands = step(node, before.get(GLOBAL), nowMs, {
    operator: node.consent.global,
    owner: true,
    assigned: false,
    open: true,
    eligible: eligibility({ models: {}, nodes: {} }, node.facts, nowMs).eligible,
  });
  if (stands !== undefined) after.set(GLOBAL, stands);
  return after;
}

/** Subclouds that keep the node out of the global network: held from the first active until the membership ends. */
export function isolatingHolders(
  subclouds: readonly OracleSubcloud[],
  stands: ReadonlyMap<string, OracleMembership>,
): readonly OracleSubcloud[] {
  return subclouds.filter((subcloud) => {
    const standing = stands.get(subcloud.id)?.standing;
    return subcloud.spec.isolation !== 'shared' && (standing === 'active' || standing === 'suspended');
  });
}

interface Answers {
  readonly operator: boolean;
  readonly owner: boolean;
  readonly assigned: boolean;
  readonly open: boolean;
  readonly eligible: boolean;
}

function step(
  node: OracleNode,
  stood: OracleMembership | undefined,
  nowMs: number,
  { operator, owner, assigned, open, eligible }: Answers,
): OracleMembership | undefined {
  const { lastSeenAt } = node.facts;
  const away = lastSeenAt !== null && nowMs - lastSeenAt >= WEEK_MS;
  const joins = operator && owner && eligible && !away;
  const active = (): OracleMembership => ({ standing: 'active', assigned, sinceMs: nowMs, endedByAbsence: false });
  switch (stood?.standing) {
    case undefined:
      return joins ? active() : undefined;
    case 'removed':
      return stood;
    case 'left':
      if (!open || (stood.endedByAbsence && lastSeenAt !== null)) return stood;
      return joins ? active() : stood;
    case 'invited':
      if (joins) return active();
      return invitationOver(stood, nowMs) ? end('left', nowMs, false) : stood;
    case 'active':
    case 'suspended':
      if (!operator) return end('left', nowMs, false);
      if (away) return end('left', nowMs, true);
      if (owner && eligible) return stood.standing === 'active' ? stood : active();
      if (stood.standing === 'active') return { ...stood, standing: 'suspended', sinceMs: nowMs };
      return nowMs - stood.sinceMs >= WEEK_MS ? end('left', nowMs, false) : stood;
  }
}

function invitationOver({ standing, sinceMs }: OracleMembership, nowMs: number): boolean {
  return standing === 'invited' && nowMs - sinceMs >= WEEK_MS;
}

function end(standing: 'left' | 'removed', sinceMs: number, endedByAbsence: boolean): OracleMembership {
  return { standing, assigned: false, sinceMs, endedByAbsence };
}
