/**
 * Which node served, told so that a caller can compare answers of one Subcloud, and nobody can compare Subclouds: pool
 * ids are not public, so the name of a node in one pool says nothing about its name in another.
 */
import { hash } from 'node:crypto';
import { pseudonymFrom, pseudonymText } from '@subcloud/contract/pseudonym';
import type { MemberRow, PoolRow } from '@subcloud/contract/table';

const known = new WeakMap<MemberRow, { readonly poolId: string; readonly text: string }>();

export function pseudonymOf(pool: PoolRow, member: MemberRow): string {
  const before = known.get(member);
  if (before !== undefined && before.poolId === pool.id) return before.text;
  const text = pseudonymFrom(hash('sha256', pseudonymText(pool.id, member.node)));
  known.set(member, { poolId: pool.id, text });
  return text;
}
