/** Changes of bindings in the store, in the world and in the table. */
import type { Kysely } from 'kysely';
import type { PrincipalId } from '@subcloud/policy/principal';
import { stageCredential, stagePrincipal } from '../compile/access-rows.ts';
import type { PublishedTable } from '../compile/published-table.ts';
import { insertEvents } from '../store/events.ts';
import type { Schema } from '../store/schema.ts';
import type { World } from '../world/world.ts';
import type { BindingChange } from './bindings.ts';

/** Rows and events. */
export async function saveBindings(
  tx: Kysely<Schema>,
  changes: readonly BindingChange[],
  actor: string,
  nowMs: number,
): Promise<void> {
  for (const { before, after } of changes) {
    const id = after?.id ?? before?.id ?? '';
    if (before === null && after !== null) {
      const { subcloudId, bound, state } = after;
      await tx
        .insertInto('bindings')
        .values({ id, subcloud_id: subcloudId, bound, state, since: nowMs, changed_by: actor })
        .execute();
    } else {
      await tx
        .updateTable('bindings')
        .set({ state: after?.state ?? 'ended', since: nowMs, changed_by: actor })
        .where('id', '=', id)
        .execute();
    }
  }
  await insertEvents(
    tx,
    changes.map(({ before, after, reason }) => ({
      kind: `binding.${after?.state ?? 'ended'}`,
      node: null,
      subcloud: after?.subcloudId ?? before?.subcloudId ?? null,
      principal: after?.bound ?? before?.bound ?? null,
      actor,
      reason,
      detail: { id: after?.id ?? before?.id },
    })),
    nowMs,
  );
}

/** The same in memory, after the commit. */
export function applyBindings(world: World, table: PublishedTable, changes: readonly BindingChange[]): void {
  for (const { before, after } of changes) {
    if (after !== null) world.bindings.set(after.id, after);
    else if (before !== null) world.bindings.delete(before.id);
  }
  for (const { before, after } of changes) {
    const bound = after?.bound ?? before?.bound ?? '';
    if (!bound.startsWith('token:')) stagePrincipal(world, table, bound as PrincipalId);
    else
      for (const [hash, credential] of world.credentials)
        if (`token:${credential.id}` === bound) stageCredential(world, table, hash, credential);
  }
}
