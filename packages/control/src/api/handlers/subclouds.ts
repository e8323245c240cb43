import { AppError } from '@subcloud/contract/errors';
import { actorName } from '../../access/actor.ts';
import { mayKnow, ownedSubcloud } from '../../access/authorise.ts';
import { endAll } from '../../bindings/bindings.ts';
import { applyBindings, saveBindings } from '../../bindings/save-bindings.ts';
import { stageCredential } from '../../compile/access-rows.ts';
import { insertEvents } from '../../store/events.ts';
import { GLOBAL_ID } from '../../world/world.ts';
import { type Handlers, iso, page, withdrawn } from '../context.ts';
import { revisionState, storeRevision } from '../store-revision.ts';
import { subcloudView } from '../views.ts';

type Names = 'applySubcloud' | 'listSubclouds' | 'getSubcloud' | 'listRevisions' | 'deleteSubcloud';

export const subcloudHandlers: Pick<Handlers, Names> = {
  async applySubcloud(context, { params, body }, actor) {
    const { manifest: source, ifRevision, maxLeavePercent } = body;
    const request = { name: params.name, source, ifRevision, maxLeavePercent, reason: 'apply' };
    const { result, tableVersion } = await context.loop.change((tx) => storeRevision(context, tx, request, actor));
    const withdrawal = await withdrawn(context, tableVersion);
    return {
      change: result.change,
      subcloud: subcloudView(context.loop.world, context.pass.table, result.record),
      withdrawal,
    };
  },

  listSubclouds({ loop, pass }, { query }, actor) {
    const known = [...loop.world.subclouds.values()].filter(
      (subcloud) => subcloud.id !== GLOBAL_ID && mayKnow(actor, subcloud, loop.world),
    );
    const { items, next } = page(known, ({ name }) => name, query);
    return { items: items.map((subcloud) => subcloudView(loop.world, pass.table, subcloud)), next };
  },

  getSubcloud({ loop, pass }, { params }, actor) {
    const subcloud = ownedSubcloud(actor, loop.world, params.name);
    return { ...subcloudView(loop.world, pass.table, subcloud), manifest: subcloud.source };
  },

  async listRevisions({ db, loop }, { params, query }, actor) {
    const subcloud = ownedSubcloud(actor, loop.world, params.name);
    const before = query.cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(query.cursor);
    if (!Number.isSafeInteger(before)) throw new AppError('client.invalid_request', { param: 'cursor' });
    const rows = await db
      .selectFrom('revisions')
      .select(['number', 'source', 'content_hash', 'effective_hash', 'created_at', 'created_by'])
      .where('subcloud_id', '=', subcloud.id)
      .where('number', '<', before === Number.MAX_SAFE_INTEGER ? 2_147_483_647 : before)
      .orderBy('number', 'desc')
      .limit(query.limit)
      .execute();
    return {
      items: rows.map((row) => ({
        revision: row.number,
        contentHash: row.content_hash,
        effectiveHash: row.effective_hash,
        createdAt: iso(row.created_at),
        createdBy: row.created_by,
        manifest: row.source,
      })),
      next: rows.length === query.limit ? String(rows.at(-1)?.number ?? '') : null,
    };
  },

  async deleteSubcloud(context, { params }, actor) {
    const { loop, clock, pass } = context;
    const { tableVersion } = await loop.change(async (tx) => {
      const subcloud = ownedSubcloud(actor, loop.world, params.name);
      if (subcloud.id === GLOBAL_ID)
        throw new AppError('policy.forbidden', { message: 'The global network cannot be deleted.' });
      const nowMs = clock.nowMs();
      await tx.updateTable('subclouds').set({ deleted_at: nowMs }).where('id', '=', subcloud.id).execute();
      const bindings = endAll(loop.world, subcloud.id, 'the Subcloud was deleted');
      await saveBindings(tx, bindings, actorName(actor), nowMs);
      await tx.deleteFrom('drafts').where('subcloud_id', '=', subcloud.id).execute();
      await tx
        .updateTable('subcloud_tokens')
        .set({ revoked_at: nowMs })
        .where('subcloud_id', '=', subcloud.id)
        .where('revoked_at', 'is', null)
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'subcloud.deleted',
            node: null,
            subcloud: subcloud.id,
            actor: actorName(actor),
            reason: 'by request',
            detail: { name: subcloud.name },
          },
        ],
        nowMs,
      );
      return {
        audit: { subject: `subcloud:${subcloud.name}`, before: revisionState(subcloud), after: null },
        result: undefined,
        touched: 'all',
        apply: (world) => {
          world.subclouds.delete(subcloud.id);
          world.subcloudByName.delete(subcloud.name);
          applyBindings(world, pass.table, bindings);
          if (subcloud.owner !== null)
            world.retiredNames.set(subcloud.name, { owner: subcloud.owner, deletedAtMs: nowMs });
          for (const [hash, credential] of world.credentials) {
            if (credential.pool !== subcloud.name) continue;
            world.credentials.delete(hash);
            stageCredential(world, pass.table, hash, undefined);
          }
        },
      };
    });
    return withdrawn(context, tableVersion);
  },
};
