import { AppError } from '@subcloud/contract/errors';
import type { claimsRoutes } from '@subcloud/contract/routes/claims';
import type { AttestableFact } from '@subcloud/contract/documents';
import type { PrincipalId } from '@subcloud/policy/principal';
import { actorName } from '../../access/actor.ts';
import { mayForPrincipal, ownedAttester, requirePrincipal } from '../../access/authorise.ts';
import { NETWORK_ISSUER } from '../../authority.ts';
import { applyRevocation, nodesAbout } from '../../facts/attested.ts';
import { NVIDIA_ISSUER } from '../../facts/nvidia-attestation.ts';
import { insertEvents } from '../../store/events.ts';
import type { AttesterRecord } from '../../world/world.ts';
import { type Handlers, iso, isoOrNull, page, withdrawn } from '../context.ts';
import { requireKnown } from './principals.ts';

/** Issuers that are no attesters with a key of their own. */
const RESERVED: readonly string[] = [NETWORK_ISSUER, NVIDIA_ISSUER, 'node', 'measured', 'declared', 'admin'];

type Names = 'createAttester' | 'listAttesters' | 'revokeAttester';

export const attesterHandlers: Pick<Handlers, Names & keyof typeof claimsRoutes> = {
  async createAttester({ loop, clock }, { body }, actor) {
    const owner = body.owner ?? (actor.kind === 'principal' ? actor.principal : null);
    requirePrincipal(loop.world, actor, owner, 'make attesters');
    const nowMs = clock.nowMs();
    const record: AttesterRecord = {
      name: body.name,
      publicKey: body.publicKey,
      owner,
      facts: new Set(body.facts),
      operators: body.nodes === 'all' ? null : new Set(body.nodes),
      createdAtMs: nowMs,
      revokedAtMs: null,
    };
    await loop.change(async (tx) => {
      if (owner !== null) await requireKnown(tx, owner);
      if (RESERVED.includes(body.name) || loop.world.attesters.has(body.name))
        throw new AppError('client.conflict', { message: `The name ${body.name} is taken.` });
      if ([...loop.world.attesters.values()].some(({ publicKey }) => publicKey === body.publicKey))
        throw new AppError('client.conflict', { message: 'This key is that of another attester.' });
      await tx
        .insertInto('attesters')
        .values({
          name: record.name,
          public_key: record.publicKey,
          owner,
          facts: JSON.stringify([...record.facts].sort()),
          operators: record.operators === null ? null : JSON.stringify([...record.operators].sort()),
          created_at: nowMs,
          created_by: actorName(actor),
        })
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'attester.created',
            node: null,
            subcloud: null,
            principal: owner,
            actor: actorName(actor),
            reason: 'by request',
            detail: { name: record.name, facts: [...record.facts] },
          },
        ],
        nowMs,
      );
      return {
        audit: { subject: `attester:${record.name}`, before: null, after: attesterView(record) },
        result: undefined,
        touched: [],
        apply: (world) => void world.attesters.set(record.name, record),
      };
    });
    return attesterView(record);
  },

  listAttesters({ loop }, { query }, actor) {
    const visible = [...loop.world.attesters.values()].filter(
      ({ owner }) => owner === null || mayForPrincipal(loop.world, actor, owner, 'claim.read'),
    );
    const { items, next } = page(visible, ({ name }) => name, query);
    return { items: items.map(attesterView), next };
  },

  async revokeAttester(context, { params }, actor) {
    const { loop, clock } = context;
    const { tableVersion } = await loop.change(async (tx) => {
      const { world } = loop;
      const nowMs = clock.nowMs();
      const attester = ownedAttester(actor, world, params.name);
      if (attester.revokedAtMs !== null)
        throw new AppError('client.not_found', { message: `The attester ${params.name} is revoked already.` });
      await tx.updateTable('attesters').set({ revoked_at: nowMs }).where('name', '=', attester.name).execute();
      const rows = await tx
        .updateTable('claims')
        .set({ revoked_at: nowMs, revoked_by: actorName(actor) })
        .where('issuer', '=', attester.name)
        .where('source', '=', 'attested')
        .where('revoked_at', 'is', null)
        .returning(['id', 'node_id', 'digest'])
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'attester.revoked',
            node: null,
            subcloud: null,
            principal: attester.owner,
            actor: actorName(actor),
            reason: 'by request',
            detail: { name: attester.name, claims: rows.length },
          },
        ],
        nowMs,
      );
      const revoked = rows.map(({ id, node_id: node, digest }) => ({ id, node, digest }));
      const before = attesterView(attester);
      return {
        audit: {
          subject: `attester:${attester.name}`,
          before,
          after: { ...before, revokedAt: iso(nowMs), claims: rows.length },
        },
        result: undefined,
        touched: new Set(revoked.flatMap((row) => nodesAbout(world, row))),
        apply: () => {
          world.attesters.set(attester.name, { ...attester, revokedAtMs: nowMs });
          applyRevocation(world, revoked);
        },
      };
    });
    return withdrawn(context, tableVersion);
  },
};

function attesterView(attester: AttesterRecord) {
  return {
    name: attester.name,
    owner: attester.owner,
    publicKey: attester.publicKey,
    facts: [...attester.facts] as AttestableFact[],
    nodes: attester.operators === null ? ('all' as const) : ([...attester.operators] as PrincipalId[]),
    createdAt: iso(attester.createdAtMs),
    revokedAt: isoOrNull(attester.revokedAtMs),
  };
}
