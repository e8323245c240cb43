/** Puts a prepared revision in force: what apply and rollback share. Runs inside a turn of the loop. */
import { AppError } from '@subcloud/contract/errors';
import { type Actor, actorName } from '../access/actor.ts';
import { followManifest } from '../bindings/bindings.ts';
import { applyBindings, saveBindings } from '../bindings/save-bindings.ts';
import type { AuditedChange } from '../audit/audited.ts';
import type { Transaction } from '../loop.ts';
import { scopeOf } from '../plan/plan.ts';
import { planInSlices, snapshot } from '../plan/snapshot.ts';
import { type PreparedRevision, prepareRevision, requireTests } from '../plan/prepare-revision.ts';
import { requireRoom, stepsOf } from '../quotas/quotas.ts';
import { insertEvents } from '../store/events.ts';
import type { SubcloudRecord } from '../world/world.ts';
import type { ApiContext, WriteContext } from './context.ts';
import { requireKnown } from './handlers/principals.ts';

export interface RevisionRequest {
  readonly name: string;
  readonly source: string;
  readonly ifRevision?: number | undefined;
  readonly maxLeavePercent?: number | undefined;
  /** For the event: `apply`, `rollback to 3`. */
  readonly reason: string;
}
export interface Applied {
  readonly change: 'created' | 'updated' | 'unchanged';
  readonly record: SubcloudRecord;
}

export async function storeRevision(
  context: WriteContext,
  tx: Transaction,
  request: RevisionRequest,
  actor: Actor,
): Promise<AuditedChange<Applied>> {
  const { loop, clock, pass } = context;
  const { name, ifRevision, maxLeavePercent } = request;
  const nowMs = clock.nowMs();
  const prepared = prepareRevision(loop.world, actor, name, request.source, nowMs);
  const { existing, record } = prepared;
  if (ifRevision !== undefined && ifRevision !== (existing?.revision ?? 0)) {
    throw new AppError('client.revision_conflict', {
      message: `${name} is at revision ${existing?.revision ?? 0}, not ${ifRevision}.`,
    });
  }
  if (record.owner !== null) await requireKnown(tx, record.owner);
  requireTests(prepared);
  await tx.deleteFrom('drafts').where('subcloud_id', '=', record.id).execute();
  const subject = record.owner === null ? 'network' : `subcloud:${name}`;
  const before = existing === undefined ? null : revisionState(existing);
  if (prepared.isUnchanged && existing !== undefined)
    return {
      audit: { subject, before, after: before },
      result: { change: 'unchanged', record: existing },
      touched: [],
      apply: () => undefined,
    };
  if (maxLeavePercent !== undefined) await requireFewLeave(context, prepared, maxLeavePercent);
  if (record.owner !== null) {
    // What takes less than before, or as much, is let through also where the owner has too much already.
    const celSteps = stepsOf(record.manifest) - stepsOf(existing?.manifest ?? null);
    const adds = { subclouds: existing === undefined ? 1 : 0, celSteps };
    await requireRoom(tx, { world: loop.world, actor, owner: record.owner, adds, nowMs });
  }
  await insertRevision(tx, prepared, actor, nowMs);
  const bindings = followManifest(loop.world, record, actorName(actor), nowMs);
  await saveBindings(tx, bindings, actorName(actor), nowMs);
  const change = existing === undefined ? 'created' : 'updated';
  const scope = scopeOf({ before: existing ?? null, after: record });
  await insertEvents(
    tx,
    [
      {
        kind: record.owner === null ? 'network.updated' : `subcloud.${change}`,
        node: null,
        subcloud: record.id,
        actor: actorName(actor),
        reason: request.reason,
        detail: { name, revision: record.revision, contentHash: prepared.contentHash },
      },
    ],
    nowMs,
  );
  return {
    audit: { subject, before, after: { ...revisionState(record), change: request.reason } },
    result: { change, record },
    touched: 'all',
    ...(scope === undefined ? {} : { scope: { subclouds: scope } }),
    apply: (world) => {
      world.subclouds.set(record.id, record);
      world.subcloudByName.set(name, record.id);
      applyBindings(world, pass.table, bindings);
    },
  };
}

/** As the audit log shows it; the manifests themselves are kept as revisions. */
export function revisionState({ id, owner, revision, effectiveHash }: SubcloudRecord) {
  return { id, owner, revision, effectiveHash };
}

async function insertRevision(
  tx: Transaction,
  { existing, record, manifest, source, contentHash }: PreparedRevision,
  actor: Actor,
  nowMs: number,
): Promise<void> {
  if (existing === undefined) {
    const { id, name, owner } = record;
    await tx
      .insertInto('subclouds')
      .values({ id, name, owner, revision: 1, created_at: nowMs, updated_at: nowMs, deleted_at: null })
      .execute();
  } else {
    await tx
      .updateTable('subclouds')
      .set({ revision: record.revision, updated_at: nowMs })
      .where('id', '=', record.id)
      .execute();
  }
  await tx
    .insertInto('revisions')
    .values({
      subcloud_id: record.id,
      number: record.revision,
      manifest: JSON.stringify(manifest),
      source,
      content_hash: contentHash,
      effective_hash: record.effectiveHash,
      created_at: nowMs,
      created_by: actorName(actor),
    })
    .execute();
}

/** Throws policy.too_many_leave with the numbers. Nothing can come between the plan and the change: both are one turn. */
async function requireFewLeave(
  { loop, clock, pass }: ApiContext,
  { existing, record }: PreparedRevision,
  maxLeavePercent: number,
): Promise<void> {
  const whole = snapshot(loop.world, pass.startedAtMs, clock.nowMs());
  // Who is no active member cannot leave: the turn is as long as the Subcloud is large.
  const nodes = whole.nodes.filter((node) => node.record.memberships.get(record.id)?.state === 'active');
  const world = { ...whole, nodes };
  const { activeBefore, activeLost } = await planInSlices(world, { before: existing ?? null, after: record }, clock);
  if (activeLost * 100 <= maxLeavePercent * activeBefore) return;
  const percent = Math.round((activeLost * 1_000) / activeBefore) / 10;
  throw new AppError('policy.too_many_leave', {
    message: `${activeLost} of ${activeBefore} active members of ${record.name} (${percent} %) would no longer be active; at most ${maxLeavePercent} % may. Nothing was changed.`,
    details: { active: activeBefore, leaving: activeLost, percent, maxLeavePercent },
  });
}
