import { AppError } from '@subcloud/contract/errors';
import type { planRoutes } from '@subcloud/contract/routes/plan';
import type { Plan } from '@subcloud/contract/routes/plan';
import { decide } from '@subcloud/policy/decide';
import type { NodeFacts } from '@subcloud/policy/facts';
import { type Actor, actorName } from '../../access/actor.ts';
import { mayKnow, operatedNode, ownedSubcloud, seesAll, seesNode } from '../../access/authorise.ts';
import { diffManifests } from '../../plan/diff-manifests.ts';
import { type NodeOutcome, type PlanChange, supposeFacts } from '../../plan/plan.ts';
import { planView } from '../../plan/plan-view.ts';
import { type PreparedRevision, prepareRevision } from '../../plan/prepare-revision.ts';
import { absenceCounts } from '../../membership/absence.ts';
import { planInSlices, planNode, snapshot } from '../../plan/snapshot.ts';
import { supposedFacts } from '../../plan/supposed-facts.ts';
import { insertEvents } from '../../store/events.ts';
import { GLOBAL_ID, type NodeRecord, type SubcloudRecord, type World } from '../../world/world.ts';
import { rulesFor } from '../../world/isolation-rules.ts';
import { globalRecord } from '../../world/subcloud-record.ts';
import { type ApiContext, type Handlers, iso, withdrawn } from '../context.ts';
import { storeRevision } from '../store-revision.ts';
import { subcloudView } from '../views.ts';

export const planHandlers: Pick<Handlers, keyof typeof planRoutes> = {
  planSubcloud(context, { params, body }, actor) {
    if (body.manifest === null) {
      const subcloud = existingSubcloud(context, actor, params.name);
      if (subcloud.id === GLOBAL_ID)
        throw new AppError('policy.forbidden', { message: 'The global network cannot be deleted.' });
      return planOf(context, actor, { before: subcloud, after: null }, 'delete', []);
    }
    return planPrepared(context, actor, prepare(context, actor, params.name, body.manifest));
  },

  whatIf({ loop, clock, pass }, { params, body }, actor) {
    const { world } = loop;
    const nowMs = clock.nowMs();
    const node = operatedNode(actor, world, params.id);
    const current = planNode(world, node);
    const facts = supposedFacts(current.state.facts, body.facts, nowMs);
    const { before, after } = supposeFacts(
      { subclouds: world.subclouds, absenceCounts: absenceCounts(world, pass.startedAtMs, nowMs) },
      current,
      { ...current.state, operator: facts.operator, facts },
      nowMs,
      rulesFor(world, node.id),
    );
    const visible = [...world.subclouds.values()].filter((subcloud) => seesDecision(actor, world, subcloud, node));
    return {
      node: node.id,
      at: iso(nowMs),
      items: visible
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map((subcloud) => {
          const { clauses } = decide(subcloud.policy, facts, nowMs);
          return {
            subcloud: subcloud.name,
            revision: subcloud.revision,
            current: outcomeIn(subcloud, current.state.facts, before, nowMs),
            supposed: outcomeIn(subcloud, facts, after, nowMs),
            clauses: clauses.map((clause) => ({ ...clause })),
          };
        }),
    };
  },

  async putDraft(context, { params, body }, actor) {
    const { clock, loop } = context;
    existingSubcloud(context, actor, params.name);
    const prepared = prepare(context, actor, params.name, body.manifest);
    const nowMs = clock.nowMs();
    const draft = {
      subcloud_id: prepared.record.id,
      source: body.manifest,
      content_hash: prepared.contentHash,
      created_at: nowMs,
      created_by: actorName(actor),
    };
    // A turn of the loop, so that no deletion or apply of the Subcloud comes between; it touches nothing.
    await loop.change(async (tx) => {
      const { id } = existingSubcloud(context, actor, params.name);
      const last = await tx
        .selectFrom('drafts')
        .select('content_hash')
        .where('subcloud_id', '=', id)
        .executeTakeFirst();
      await tx
        .insertInto('drafts')
        .values({ ...draft, subcloud_id: id })
        .onConflict((conflict) => conflict.column('subcloud_id').doUpdateSet(draft))
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'subcloud.shadowed',
            node: null,
            subcloud: id,
            actor: actorName(actor),
            reason: 'apply --shadow',
            detail: { name: params.name, contentHash: prepared.contentHash },
          },
        ],
        nowMs,
      );
      const before = last === undefined ? null : { contentHash: last.content_hash };
      const after = { contentHash: prepared.contentHash };
      const audit = { subject: `draft:${params.name}`, before, after };
      return { audit, result: undefined, touched: [], apply: () => undefined };
    });
    return { draft: draftView(params.name, draft), plan: await planPrepared(context, actor, prepared) };
  },

  async getDraft(context, { params }, actor) {
    const subcloud = existingSubcloud(context, actor, params.name);
    const draft = await context.db
      .selectFrom('drafts')
      .select(['source', 'content_hash', 'created_at', 'created_by'])
      .where('subcloud_id', '=', subcloud.id)
      .executeTakeFirst();
    if (draft === undefined)
      throw new AppError('client.not_found', {
        message: `${params.name} has no draft; \`apply --shadow\` stores one.`,
      });
    const prepared = prepare(context, actor, params.name, draft.source);
    return { draft: draftView(params.name, draft), plan: await planPrepared(context, actor, prepared) };
  },

  async deleteDraft(context, { params }, actor) {
    const { result } = await context.loop.change(async (tx) => {
      const subcloud = existingSubcloud(context, actor, params.name);
      const deleted = await tx
        .deleteFrom('drafts')
        .where('subcloud_id', '=', subcloud.id)
        .returning('content_hash')
        .executeTakeFirst();
      const before = deleted === undefined ? null : { contentHash: deleted.content_hash };
      const audit = { subject: `draft:${params.name}`, before, after: null };
      return { audit, result: deleted !== undefined, touched: [], apply: () => undefined };
    });
    return { ended: result };
  },

  async diffRevisions(context, { params, query }, actor) {
    const subcloud = existingSubcloud(context, actor, params.name);
    const to = query.to ?? subcloud.revision;
    const from = query.from ?? to - 1;
    return {
      subcloud: subcloud.name,
      from,
      to,
      changes: diffManifests(
        from === 0 ? undefined : (await revisionOf(context, subcloud, from)).manifest,
        (await revisionOf(context, subcloud, to)).manifest,
      ),
    };
  },

  async rollbackSubcloud(context, { params, body }, actor) {
    const subcloud = existingSubcloud(context, actor, params.name);
    const { revision, ifRevision, maxLeavePercent } = body;
    const { source } = await revisionOf(context, subcloud, revision);
    const request = { name: params.name, source, ifRevision, maxLeavePercent, reason: `rollback to ${revision}` };
    const { result, tableVersion } = await context.loop.change((tx) => {
      // Deleted and made again in between, it would be another Subcloud, whose revisions these are not.
      if (existingSubcloud(context, actor, params.name).id !== subcloud.id) throw new AppError('client.conflict');
      return storeRevision(context, tx, request, actor);
    });
    const withdrawal = await withdrawn(context, tableVersion);
    return {
      change: result.change,
      subcloud: subcloudView(context.loop.world, context.pass.table, result.record),
      withdrawal,
    };
  },
};

/** The Subcloud of this name for its owner; `global` for the admin. */
function existingSubcloud({ loop }: ApiContext, actor: Actor, name: string): SubcloudRecord {
  return ownedSubcloud(actor, loop.world, name);
}

function prepare({ loop, clock }: ApiContext, actor: Actor, name: string, source: string): PreparedRevision {
  return prepareRevision(loop.world, actor, name, source, clock.nowMs());
}

function planPrepared(context: ApiContext, actor: Actor, prepared: PreparedRevision): Promise<Plan> {
  const { existing, record, isUnchanged, failingTests } = prepared;
  const change = existing === undefined ? 'create' : isUnchanged ? 'none' : 'update';
  const tests = failingTests.map(({ name, message }) => ({ name, message }));
  return planOf(context, actor, { before: existing ?? null, after: record }, change, tests);
}

async function planOf(
  { loop, clock, pass }: ApiContext,
  actor: Actor,
  change: PlanChange,
  kind: Plan['change'],
  failingTests: Plan['failingTests'],
): Promise<Plan> {
  const nowMs = clock.nowMs();
  const planned = await planInSlices(snapshot(loop.world, pass.startedAtMs, nowMs), change, clock);
  return planView(loop.world, actor, change, planned, { change: kind, failingTests, nowMs });
}

async function revisionOf(
  { db }: ApiContext,
  subcloud: SubcloudRecord,
  number: number,
): Promise<{ readonly manifest: object; readonly source: string }> {
  // The first revision of the global network is the default and is in no table.
  if (subcloud.id === GLOBAL_ID && number === 1) {
    const { network, source } = globalRecord(subcloud.createdAtMs);
    return { manifest: network ?? {}, source };
  }
  const row = await db
    .selectFrom('revisions')
    .select(['manifest', 'source'])
    .where('subcloud_id', '=', subcloud.id)
    .where('number', '=', number)
    .executeTakeFirst();
  if (row !== undefined) return row;
  throw new AppError('client.not_found', {
    message: `${subcloud.name} has no revision ${number}; the newest is ${subcloud.revision}.`,
  });
}

function draftView(
  subcloud: string,
  draft: { readonly source: string; readonly content_hash: string; readonly created_at: number; created_by: string },
) {
  const { source: manifest, content_hash: contentHash, created_at, created_by: createdBy } = draft;
  return { subcloud, manifest, contentHash, createdAt: iso(created_at), createdBy };
}

function seesDecision(actor: Actor, world: World, subcloud: SubcloudRecord, node: NodeRecord): boolean {
  if (seesNode(actor, node, world)) return subcloud.id === GLOBAL_ID || mayKnow(actor, subcloud, world);
  return seesAll(actor, subcloud, world) && node.memberships.has(subcloud.id);
}

function outcomeIn(subcloud: SubcloudRecord, facts: NodeFacts, outcome: NodeOutcome, nowMs: number) {
  const decision = decide(subcloud.policy, facts, nowMs);
  const membership = outcome.memberships.get(subcloud.id);
  return {
    eligible: decision.eligible,
    state: membership?.state ?? null,
    reason: membership?.reason ?? outcome.reasons.get(subcloud.id) ?? 'not decided',
    models: [...(outcome.models.get(subcloud.id) ?? [])].sort(),
  };
}
