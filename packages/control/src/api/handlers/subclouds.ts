import { AppError } from '@subcloud/contract/errors';
import { rowKey } from '@subcloud/contract/table';
import { newId } from '@subcloud/kit/clock';
import type { SubcloudManifest } from '@subcloud/policy/manifest';
import { parseManifest } from '@subcloud/policy/parse-manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import { type Actor, actorName } from '../../access/actor.ts';
import { isOwner, knownSubcloud, mayKnow, ownedSubcloud, requirePrincipal } from '../../access/authorise.ts';
import type { Change, Transaction } from '../../loop.ts';
import { insertEvents } from '../../store/events.ts';
import { contentHash, subcloudRecord } from '../../world/subcloud-record.ts';
import { GLOBAL_ID, type SubcloudRecord, type World } from '../../world/world.ts';
import { type ApiContext, type Handlers, iso, page, withdrawn } from '../context.ts';
import { subcloudView } from '../views.ts';
import { requireKnown } from './principals.ts';

type Names = 'applySubcloud' | 'applyNetwork' | 'listSubclouds' | 'getSubcloud' | 'listRevisions' | 'deleteSubcloud';
type Applied = { readonly change: 'created' | 'updated' | 'unchanged'; readonly record: SubcloudRecord };

export const subcloudHandlers: Pick<Handlers, Names> = {
  async applySubcloud(context, { params, body }, actor) {
    const parsed = parsedManifest(body.manifest, 'Subcloud');
    if (parsed.kind !== 'Subcloud') throw wrongKind('Subcloud');
    const { manifest } = parsed;
    if (manifest.metadata.name !== params.name) {
      throw new AppError('client.invalid_request', {
        message: `The manifest declares ${manifest.metadata.name}, the path names ${params.name}.`,
        param: 'metadata.name',
      });
    }
    const { result, tableVersion } = await context.loop.change((tx) =>
      apply(context, tx, manifest, body.manifest, body.ifRevision, actor),
    );
    const withdrawal = await withdrawn(context, tableVersion);
    return {
      change: result.change,
      subcloud: subcloudView(context.loop.world, context.pass.table, result.record),
      withdrawal,
    };
  },

  applyNetwork(_context, { body }) {
    parsedManifest(body.manifest, 'Network');
    return { change: 'unchanged' };
  },

  listSubclouds({ loop, pass }, { query }, actor) {
    const known = [...loop.world.subclouds.values()].filter(
      (subcloud) => subcloud.id !== GLOBAL_ID && mayKnow(actor, subcloud, loop.world),
    );
    const { items, next } = page(known, ({ name }) => name, query);
    return { items: items.map((subcloud) => subcloudView(loop.world, pass.table, subcloud)), next };
  },

  getSubcloud({ loop, pass }, { params }, actor) {
    const subcloud = knownSubcloud(actor, loop.world, params.name);
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
        result: undefined,
        touched: 'all',
        apply: (world) => {
          world.subclouds.delete(subcloud.id);
          world.subcloudByName.delete(subcloud.name);
          for (const [hash, credential] of world.credentials) {
            if (credential.pool !== subcloud.name) continue;
            world.credentials.delete(hash);
            pass.table.stage('credential', rowKey.credential(hash), undefined);
          }
        },
      };
    });
    return withdrawn(context, tableVersion);
  },
};

async function apply(
  context: ApiContext,
  tx: Transaction,
  manifest: SubcloudManifest,
  source: string,
  ifRevision: number | undefined,
  actor: Actor,
): Promise<Change<Applied>> {
  const { loop, clock } = context;
  const nowMs = clock.nowMs();
  const { name } = manifest.metadata;
  const existing = existingFor(actor, loop.world, name);
  if (ifRevision !== undefined && ifRevision !== (existing?.revision ?? 0)) {
    throw new AppError('client.revision_conflict', {
      message: `${name} is at revision ${existing?.revision ?? 0}, not ${ifRevision}.`,
    });
  }
  const owner = ownerOf(manifest, existing, actor);
  await requireKnown(tx, owner);
  const hash = contentHash(manifest);
  if (existing?.manifest !== undefined && existing.manifest !== null && contentHash(existing.manifest) === hash) {
    return { result: { change: 'unchanged', record: existing }, touched: [], apply: () => undefined };
  }
  const record = subcloudRecord({
    id: existing?.id ?? newId('scl'),
    owner,
    revision: (existing?.revision ?? 0) + 1,
    createdAtMs: existing?.createdAtMs ?? nowMs,
    updatedAtMs: nowMs,
    manifest,
    source,
  });
  if (existing === undefined) {
    await tx
      .insertInto('subclouds')
      .values({ id: record.id, name, owner, revision: 1, created_at: nowMs, updated_at: nowMs, deleted_at: null })
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
      content_hash: hash,
      effective_hash: record.effectiveHash,
      created_at: nowMs,
      created_by: actorName(actor),
    })
    .execute();
  const change = existing === undefined ? 'created' : 'updated';
  await insertEvents(
    tx,
    [
      {
        kind: `subcloud.${change}`,
        node: null,
        subcloud: record.id,
        actor: actorName(actor),
        reason: 'apply',
        detail: { name, revision: record.revision, contentHash: hash },
      },
    ],
    nowMs,
  );
  return {
    result: { change, record },
    touched: 'all',
    apply: (world) => {
      world.subclouds.set(record.id, record);
      world.subcloudByName.set(name, record.id);
    },
  };
}

/** The Subcloud that an apply changes; undefined makes a new one. A name that is taken says so and nothing more: names are unique, so this much cannot be hidden. */
function existingFor(actor: Actor, world: World, name: string): SubcloudRecord | undefined {
  const existing = world.subclouds.get(world.subcloudByName.get(name) ?? '');
  if (existing === undefined || isOwner(actor, existing)) return existing;
  throw new AppError('client.conflict', { message: `The name ${name} is taken.` });
}

function ownerOf(manifest: SubcloudManifest, existing: SubcloudRecord | undefined, actor: Actor): PrincipalId {
  const asked = manifest.metadata.owner;
  if (existing !== undefined && existing.owner !== null) {
    if (asked !== undefined && asked !== existing.owner)
      throw new AppError('policy.forbidden', {
        message: `${existing.name} belongs to ${existing.owner}; a revision cannot change that.`,
      });
    return existing.owner;
  }
  const owner = asked ?? (actor.kind === 'principal' ? actor.principal : undefined);
  if (owner === undefined)
    throw new AppError('client.invalid_request', {
      message: 'The admin token acts for nobody: name metadata.owner.',
      param: 'metadata.owner',
    });
  requirePrincipal(actor, owner, 'create Subclouds');
  return owner;
}

function parsedManifest(
  text: string,
  wanted: 'Subcloud' | 'Network',
): Extract<ReturnType<typeof parseManifest>, { ok: true }> {
  const parsed = parseManifest(text);
  if (!parsed.ok) {
    const first = parsed.errors[0];
    const where =
      first === undefined
        ? ''
        : `${first.line === null ? '' : `line ${first.line}: `}${first.path === '' ? '' : `${first.path}: `}${first.message}`;
    throw new AppError('config.invalid_manifest', {
      message: `${parsed.errors.length === 1 ? 'The manifest has a fault' : `The manifest has ${parsed.errors.length} faults; the first`}: ${where}`,
      details: { errors: parsed.errors },
    });
  }
  if (parsed.kind !== wanted) throw wrongKind(wanted);
  return parsed;
}

function wrongKind(wanted: string): AppError {
  return new AppError('config.invalid_manifest', {
    message: `This route takes a manifest of kind ${wanted}.`,
    details: { errors: [{ code: 'invalid', path: 'kind', line: null, message: `must be ${wanted}` }] },
  });
}
