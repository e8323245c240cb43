import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import type { claimsRoutes } from '@subcloud/contract/routes/claims';
import { openDocument } from '@subcloud/kit/signing';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import type { Claim } from '@subcloud/policy/facts';
import { DECLARATION_VALID_MS, signedDocument } from '@subcloud/contract/documents';
import { type Actor, actorName } from '../../access/actor.ts';
import { claimNotFound, may, mayReadClaim, operatedNode, principalsFor } from '../../access/authorise.ts';
import { applyRevocation, factsTouched, nodesAbout, openAttestation } from '../../facts/attested.ts';
import { digestsOf, withAudits } from '../../facts/audits.ts';
import { type ClaimDraft, isSameLine, replaceClaims, withClaims } from '../../facts/claims.ts';
import { declaredClaims } from '../../facts/declared.ts';
import { claimOf } from '../../facts/load-claims.ts';
import type { AuditedChange } from '../../audit/audited.ts';
import type { Transaction } from '../../loop.ts';
import { type NewEvent, insertEvents } from '../../store/events.ts';
import { attest } from '../attest.ts';
import { type ClaimRow, claimRows, claimView } from '../claim-view.ts';
import { type ApiContext, type Handlers, type WriteContext, iso, isoOrNull, withdrawn } from '../context.ts';
import { attestationHandlers } from './attestations.ts';
import { attesterHandlers } from './attesters.ts';

export const claimsHandlers: Pick<Handlers, keyof typeof claimsRoutes> = {
  ...attesterHandlers,
  ...attestationHandlers,

  async createClaim(context, { body }, actor) {
    const { loop, authority, clock } = context;
    if ('draft' in body && !may(loop.world, actor, { kind: 'network' }, 'claim.sign'))
      throw new AppError('policy.forbidden', {
        message: 'Only the admin has the network sign; sign the claim yourself.',
      });
    const document =
      'document' in body
        ? body.document
        : authority.signClaim({ ...body.draft, expiresAt: Date.parse(body.draft.expiresAt) });
    return attest(context, actor, () =>
      openAttestation(document, { world: loop.world, networkKey: authority.signingKey, nowMs: clock.nowMs() }),
    );
  },

  async listClaims({ db, loop, clock }, { query }, actor) {
    const { world } = loop;
    let rows = claimRows(db)
      .orderBy('claims.id')
      .limit(query.limit + 1);
    if (query.cursor !== undefined) rows = rows.where('claims.id', '>', query.cursor);
    if (query.revoked === 'false') rows = rows.where('claims.revoked_at', 'is', null);
    if (query.node !== undefined) {
      const node = operatedNode(actor, world, query.node, 'node.read');
      const digests = [...digestsOf(node.claims)];
      rows = rows.where((where) =>
        where.or([
          where('claims.node_id', '=', node.id),
          ...(digests.length === 0 ? [] : [where('claims.digest', 'in', digests)]),
        ]),
      );
    }
    const readers = principalsFor(world, actor, 'claim.read');
    if (readers !== 'all') {
      const own = [...world.nodes.values()].filter(({ operator }) => readers.includes(operator));
      const digests = [...new Set(own.flatMap(({ claims }) => [...digestsOf(claims)]))];
      rows = rows.where((where) =>
        where.or([
          where('claims.issuer_owner', 'in', readers),
          where('nodes.operator', 'in', readers),
          ...(digests.length === 0
            ? []
            : [where.and([where('claims.digest', 'in', digests), where('claims.issuer_owner', 'is', null)])]),
        ]),
      );
    }
    const found = await rows.execute();
    const shown = found.slice(0, query.limit);
    const nowMs = clock.nowMs();
    return {
      items: shown.map((row) => claimView(world, row, nowMs)),
      next: found.length > query.limit ? (shown.at(-1)?.id ?? null) : null,
    };
  },

  async getClaim({ db, loop, clock }, { params }, actor) {
    const row = await readableRow(db, loop.world, params.id, actor);
    const { document } = await db
      .selectFrom('claims')
      .select('document')
      .where('id', '=', row.id)
      .executeTakeFirstOrThrow();
    const declaration =
      row.source === 'declared' && row.node_id !== null
        ? await db.selectFrom('nodes').select('declaration').where('id', '=', row.node_id).executeTakeFirst()
        : undefined;
    return { ...claimView(loop.world, row, clock.nowMs()), evidence: document ?? declaration?.declaration ?? null };
  },

  async revokeClaim(context, { params }, actor) {
    const { tableVersion } = await context.loop.change((tx) => revoke(context, tx, params.id, actor));
    return withdrawn(context, tableVersion);
  },

  async restoreClaim(context, { params }, actor) {
    const { tableVersion } = await context.loop.change((tx) => restore(context, tx, params.id, actor));
    return withdrawn(context, tableVersion);
  },
};

async function readableRow(
  db: Parameters<typeof claimRows>[0],
  world: ApiContext['loop']['world'],
  id: string,
  actor: Actor,
): Promise<ClaimRow> {
  const row = await claimRows(db).where('claims.id', '=', id).executeTakeFirst();
  if (row === undefined || !mayReadClaim(actor, row, world)) throw claimNotFound(id);
  return row;
}

async function revoke(
  { loop, clock }: WriteContext,
  tx: Transaction,
  id: string,
  actor: Actor,
): Promise<AuditedChange<undefined>> {
  const { world } = loop;
  const nowMs = clock.nowMs();
  const row = await readableRow(tx, world, id, actor);
  if (!may(world, actor, { kind: 'claim', claim: row }))
    throw new AppError('policy.forbidden', {
      message: 'Only the admin, or the owner of its attester, revokes a claim.',
    });
  if (row.revoked_at !== null) throw new AppError('client.not_found', { message: `The claim ${id} is not in force.` });
  await tx
    .updateTable('claims')
    .set({ revoked_at: nowMs, revoked_by: actorName(actor) })
    .where('id', '=', id)
    .execute();
  await insertEvents(tx, [claimEvent('claim.revoked', row, actor)], nowMs);
  const { node_id: node, digest, fact, source, issuer } = row;
  return {
    audit: { subject: `claim:${id}`, before: claimState(row), after: { ...claimState(row), revokedAt: iso(nowMs) } },
    result: undefined,
    touched: nodesAbout(world, { node, digest }),
    scope: { facts: factsTouched(fact) },
    apply: () => {
      applyRevocation(world, [{ id, node, digest }]);
      if (node === null || source === 'attested') return;
      world.revokedStatements.set(node, [
        ...(world.revokedStatements.get(node) ?? []),
        { id, fact, source, issuer, text: canonicalJson(row.value) },
      ]);
    },
  };
}

/**
 * Lifts a revocation. What was said counts again at once where it is still what is said: of an agent in its newest
 * declaration, of a measurement where none has replaced it.
 */
async function restore(
  { loop, clock }: WriteContext,
  tx: Transaction,
  id: string,
  actor: Actor,
): Promise<AuditedChange<undefined>> {
  const { world } = loop;
  const nowMs = clock.nowMs();
  const row = await readableRow(tx, world, id, actor);
  const node = row.node_id === null ? undefined : world.nodes.get(row.node_id);
  if (row.source === 'attested' || node === undefined)
    throw new AppError('client.conflict', {
      message: 'An attested claim does not come back: its attester signs a new one.',
    });
  if (row.revoked_at === null) throw new AppError('client.not_found', { message: `The claim ${id} is not revoked.` });
  const left = (world.revokedStatements.get(node.id) ?? []).filter((statement) => statement.id !== id);
  await tx.deleteFrom('claims').where('id', '=', id).execute();
  const drafts = await stillSaid(tx, row, node.claims, nowMs);
  const claims = withAudits(world.audits, withClaims(node.claims, drafts, nowMs, left));
  await replaceClaims(tx, [{ node: node.id, before: node.claims, after: claims }]);
  await insertEvents(tx, [claimEvent('claim.restored', row, actor)], nowMs);
  return {
    audit: {
      subject: `claim:${id}`,
      before: { ...claimState(row), revokedAt: isoOrNull(row.revoked_at) },
      after: claimState(row),
    },
    result: undefined,
    touched: [node.id],
    scope: { facts: factsTouched(row.fact) },
    apply: () => {
      if (left.length === 0) world.revokedStatements.delete(node.id);
      else world.revokedStatements.set(node.id, left);
      node.claims = claims;
    },
  };
}

async function stillSaid(
  tx: Transaction,
  row: ClaimRow,
  claims: readonly Claim[],
  nowMs: number,
): Promise<readonly ClaimDraft[]> {
  if (row.source === 'measured') {
    if (claims.some((claim) => isSameLine(claim, row))) return [];
    const { fact, value, issuer } = claimOf(row);
    return [{ fact, value, issuer, source: 'measured', expiresAt: null }];
  }
  const stored = await tx
    .selectFrom('nodes')
    .select(['declaration', 'public_key'])
    .where('id', '=', row.node_id)
    .executeTakeFirst();
  if (stored?.declaration === undefined || stored.declaration === null) return [];
  const body = openDocument(signedDocument.parse(stored.declaration), 'declaration', stored.public_key);
  const renewed = claims.flatMap(({ source, expiresAt }) => (source === 'declared' ? [expiresAt ?? 0] : []));
  const expiresAt = Math.max(body.issuedAt + DECLARATION_VALID_MS, ...renewed);
  if (expiresAt <= nowMs) return [];
  return declaredClaims(body, expiresAt).drafts.filter((draft) => isSameLine(draft, row));
}

function claimState({ node_id: node, digest, fact, source, issuer }: ClaimRow) {
  return { node, digest, fact, source, issuer };
}

function claimEvent(kind: EventKind, row: ClaimRow, actor: Actor): NewEvent {
  const { id, node_id: node, digest, fact, source, issuer } = row;
  return {
    kind,
    node,
    subcloud: null,
    principal: row.issuer_owner,
    actor: actorName(actor),
    reason: 'by request',
    detail: { id, fact, source, issuer, ...(digest === null ? {} : { digest }) },
  };
}
