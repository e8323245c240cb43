/** What an owner's word makes of a membership, read from the text of the protocol. */
import { FRESH, type OracleMembership } from './oracle-memberships.ts';

/** What the owner's word makes of it; undefined: it changes nothing. */
export function byOwnersWord(
  word: 'invite' | 'remove',
  stood: OracleMembership | undefined,
  nowMs: number,
): OracleMembership | undefined {
  const over = stood === undefined || stood.standing === 'left' || stood.standing === 'removed';
  if (word === 'invite') {
    if (stood?.standing === 'draining') return undefined;
    if (!over) return { ...stood, assigned: true };
    return { ...FRESH, standing: 'invited', assigned: true, sinceMs: nowMs, waitsSinceMs: stood?.waitsSinceMs ?? null };
  }
  if (stood === undefined) return undefined;
  if (stood.standing === 'active')
    return { ...stood, standing: 'draining', assigned: false, sinceMs: nowMs, drainsTo: 'removed', endedBy: null };
  if (stood.standing === 'draining') return { ...stood, assigned: false, drainsTo: 'removed', endedBy: null };
  const waitsSinceMs = stood.standing === 'suspended' ? nowMs : stood.waitsSinceMs;
  return { ...stood, standing: 'removed', assigned: false, sinceMs: nowMs, waitsSinceMs };
}
