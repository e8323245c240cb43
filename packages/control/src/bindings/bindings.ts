/**
 * Bindings as records: a manifest offers them, an admin of who is to be bound accepts, and either side ends them. What a
 * revision no longer lists has ended; what it lists anew is offered anew. Pure.
 */
import { newId } from '@subcloud/kit/clock';
import type { BoundId } from '@subcloud/policy/access';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { SubcloudRecord, World } from '../world/world.ts';

export interface BindingRecord {
  readonly id: string;
  readonly subcloudId: string;
  readonly bound: BoundId;
  /** Ended ones are not in the world. */
  readonly state: 'offered' | 'active' | 'declined';
  readonly sinceMs: number;
  readonly changedBy: string;
}

export interface BindingChange {
  readonly before: BindingRecord | null;
  /** Null: it has ended. */
  readonly after: BindingRecord | null;
  readonly reason: string;
}

/** The Subcloud to which this principal or credential itself is bound; a principal has at most one. */
export function activeBinding(world: World, bound: BoundId): BindingRecord | undefined {
  for (const record of world.bindings.values()) if (record.bound === bound && record.state === 'active') return record;
  return undefined;
}

/** For whom an admin has to say yes: of a credential, whom it acts for. Undefined: no such credential lives. */
export function consenterOf(world: World, bound: BoundId): PrincipalId | undefined {
  if (!bound.startsWith('token:')) return bound as PrincipalId;
  const id = bound.slice('token:'.length);
  for (const credential of world.credentials.values()) if (credential.id === id) return credential.principal;
  return undefined;
}

/** What follows from a revision coming into force; `record` is that revision. */
export function followManifest(
  world: World,
  record: Pick<SubcloudRecord, 'id' | 'owner' | 'access'>,
  actor: string,
  nowMs: number,
): BindingChange[] {
  const listed = new Set(record.access.binding);
  const changes: BindingChange[] = [];
  for (const before of bindingsOf(world, record.id)) {
    if (!listed.delete(before.bound)) changes.push({ before, after: null, reason: 'no longer in the manifest' });
  }
  for (const bound of listed) {
    const own = record.owner !== null && consenterOf(world, bound) === record.owner;
    // The owner's own yes is implied, but a principal that is bound elsewhere has to end that first.
    const state = own && activeBinding(world, bound) === undefined ? 'active' : 'offered';
    const after = { id: newId('bnd'), subcloudId: record.id, bound, state, sinceMs: nowMs, changedBy: actor } as const;
    changes.push({ before: null, after, reason: own ? 'its own Subcloud' : 'in the manifest' });
  }
  return changes;
}

/** When a Subcloud is deleted. */
export function endAll(world: World, subcloudId: string, reason: string): BindingChange[] {
  return bindingsOf(world, subcloudId).map((before) => ({ before, after: null, reason }));
}

export function bindingsOf(world: World, subcloudId: string): BindingRecord[] {
  return [...world.bindings.values()].filter((record) => record.subcloudId === subcloudId);
}
