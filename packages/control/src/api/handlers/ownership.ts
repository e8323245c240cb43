/** Subclouds that somebody else manages too, and Subclouds that change hands. */
import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import type { peopleRoutes } from '@subcloud/contract/routes/people';
import type { OutputOf } from '@subcloud/contract/routes/route';
import type { PrincipalId } from '@subcloud/policy/principal';
import { type Actor, actorName } from '../../access/actor.ts';
import { knownSubcloud, mayForPrincipal, ownedSubcloud } from '../../access/authorise.ts';
import type { AuditedChange } from '../../audit/audited.ts';
import { followOwner } from '../../bindings/follow-owner.ts';
import { applyBindings, saveBindings } from '../../bindings/save-bindings.ts';
import type { Transaction } from '../../loop.ts';
import { liveTokens, quotaHolder, requireRoom, stepsOf } from '../../quotas/quotas.ts';
import { insertEvents } from '../../store/events.ts';
import { registryFor } from '../../world/domains.ts';
import { subcloudRecord } from '../../world/subcloud-record.ts';
import { GLOBAL_ID, type SubcloudRecord } from '../../world/world.ts';
import { type ApiContext, type Handlers, withdrawn } from '../context.ts';
import { subcloudView } from '../views.ts';
import { requireKnown } from './principals.ts';

type Names = 'getDelegates' | 'putDelegates' | 'transferSubcloud' | 'acceptTransfer';

export const ownershipHandlers: Pick<Handlers, Names> = {
  getDelegates({ loop }, { params }, actor) {
    const subcloud = ownedSubcloud(actor, loop.world, params.name);
    return { subcloud: subcloud.name, delegates: delegatesOf(loop.world, subcloud) };
  },

  async putDelegates({ loop, clock }, { params, body }, actor) {
    const delegates = [...new Set(body.delegates)].sort();
    await loop.change(async (tx) => {
      const subcloud = ownedByPrincipal(actor, loop.world, params.name);
      const nowMs = clock.nowMs();
      for (const principal of delegates) await requireKnown(tx, principal);
      await tx.deleteFrom('subcloud_delegates').where('subcloud_id', '=', subcloud.id).execute();
      if (delegates.length > 0)
        await tx
          .insertInto('subcloud_delegates')
          .values(
            delegates.map((principal) => ({
              subcloud_id: subcloud.id,
              principal,
              since: nowMs,
              added_by: actorName(actor),
            })),
          )
          .execute();
      await insertEvents(tx, [eventOf('subcloud.delegated', subcloud, actor, { delegates })], nowMs);
      return {
        audit: {
          subject: `subcloud:${subcloud.name}`,
          before: { delegates: delegatesOf(loop.world, subcloud) },
          after: { delegates },
        },
        result: undefined,
        touched: [],
        apply: (world) => {
          if (delegates.length === 0) world.people.delegates.delete(subcloud.id);
          else world.people.delegates.set(subcloud.id, new Set(delegates));
        },
      };
    });
    return { subcloud: params.name, delegates };
  },

  async transferSubcloud(context, { params, body }, actor) {
    const { loop, clock } = context;
    const { result } = await loop.change<Pick<Offer, 'from' | 'state'>>(async (tx) => {
      const subcloud = ownedByPrincipal(actor, loop.world, params.name);
      if (body.to === subcloud.owner)
        throw new AppError('client.conflict', { message: `${subcloud.name} belongs to ${body.to} already.` });
      await requireKnown(tx, body.to);
      const moved = movedRecord(context, subcloud, body.to);
      const { owner: from } = subcloud;
      if (mayForPrincipal(loop.world, actor, body.to, 'subcloud.receive'))
        return { ...(await move(context, tx, subcloud, moved, actor)), result: { from, state: 'done' } };
      const offer = { recipient: body.to, offered_at: clock.nowMs(), offered_by: actorName(actor) };
      await tx
        .insertInto('subcloud_transfers')
        .values({ subcloud_id: subcloud.id, ...offer })
        .onConflict((conflict) => conflict.column('subcloud_id').doUpdateSet(offer))
        .execute();
      const event = eventOf('subcloud.offered', subcloud, actor, { from, to: body.to });
      await insertEvents(tx, [{ ...event, principal: body.to }], clock.nowMs());
      return {
        audit: {
          subject: `subcloud:${subcloud.name}`,
          before: { owner: from },
          after: { owner: from, offeredTo: body.to },
        },
        result: { from, state: 'offered' },
        touched: [],
        apply: () => undefined,
      };
    });
    return { subcloud: params.name, from: result.from, to: body.to, state: result.state };
  },

  async acceptTransfer(context, { params }, actor) {
    const { loop, pass } = context;
    const { result, tableVersion } = await loop.change<SubcloudRecord>(async (tx) => {
      const { world } = loop;
      const subcloud = world.subclouds.get(world.subcloudByName.get(params.name) ?? '');
      const offer =
        subcloud === undefined
          ? undefined
          : await tx
              .selectFrom('subcloud_transfers')
              .select('recipient')
              .where('subcloud_id', '=', subcloud.id)
              .executeTakeFirst();
      // Only the receiver hears that there is an offer, and with it that there is such a Subcloud.
      if (
        subcloud === undefined ||
        offer === undefined ||
        !mayForPrincipal(world, actor, offer.recipient as PrincipalId)
      )
        throw new AppError('client.not_found', {
          message: `No Subcloud ${params.name} is offered to this credential.`,
        });
      return move(context, tx, subcloud, movedRecord(context, subcloud, offer.recipient as PrincipalId), actor);
    });
    return {
      subcloud: subcloudView(loop.world, pass.table, result),
      withdrawal: await withdrawn(context, tableVersion),
    };
  },
};

type Offer = OutputOf<(typeof peopleRoutes)['transferSubcloud']>;

interface OwnedSubcloud extends SubcloudRecord {
  readonly owner: PrincipalId;
}

function ownedByPrincipal(actor: Actor, world: ApiContext['loop']['world'], name: string): OwnedSubcloud {
  knownSubcloud(actor, world, name);
  const subcloud = ownedSubcloud(actor, world, name);
  const { owner } = subcloud;
  if (subcloud.id === GLOBAL_ID || owner === null)
    throw new AppError('client.conflict', { message: 'The global network is the admin’s and stays so.' });
  return { ...subcloud, owner };
}

function delegatesOf({ people }: ApiContext['loop']['world'], { id }: SubcloudRecord): PrincipalId[] {
  return [...(people.delegates.get(id) ?? [])].sort();
}

/** The same revision under another owner. Throws client.conflict where it names domains that only the old owner has. */
function movedRecord({ loop }: ApiContext, subcloud: SubcloudRecord, owner: PrincipalId): OwnedSubcloud {
  const { id, revision, createdAtMs, updatedAtMs, manifest, source } = subcloud;
  if (manifest === null) throw new Error(`${subcloud.name} has no manifest`);
  const own = subcloud.policy.domains.filter(({ name }) => {
    const domain = loop.world.domains.get(name);
    return domain !== undefined && domain.owner !== null && domain.owner !== owner;
  });
  if (own.length > 0)
    throw new AppError('client.conflict', {
      message: `${subcloud.name} names ${own.map(({ name }) => name).join(', ')}, which ${owner} does not have: change the manifest first.`,
    });
  const registry = registryFor(loop.world.domains.values(), owner);
  return { ...subcloudRecord({ id, owner, revision, createdAtMs, updatedAtMs, manifest, source }, registry), owner };
}

async function move(
  { clock, loop, pass }: ApiContext,
  tx: Transaction,
  before: SubcloudRecord,
  after: OwnedSubcloud,
  actor: Actor,
): Promise<AuditedChange<SubcloudRecord>> {
  const { world } = loop;
  const nowMs = clock.nowMs();
  // It counts with whom it goes to, unless that is the same in the end.
  if (quotaHolder(world, before.owner ?? after.owner) !== quotaHolder(world, after.owner)) {
    const adds = { subclouds: 1, tokens: await liveTokens(tx, after.id, nowMs), celSteps: stepsOf(after.manifest) };
    await requireRoom(tx, { world, actor, owner: after.owner, adds, nowMs });
  }
  await tx.updateTable('subclouds').set({ owner: after.owner }).where('id', '=', after.id).execute();
  await tx.deleteFrom('subcloud_transfers').where('subcloud_id', '=', after.id).execute();
  // Whom the old owner trusted the new one does not.
  await tx.deleteFrom('subcloud_delegates').where('subcloud_id', '=', after.id).execute();
  const bindings = followOwner(loop.world, after.id, after.owner, actorName(actor), clock.nowMs());
  await saveBindings(tx, bindings, actorName(actor), clock.nowMs());
  const detail = { from: before.owner, to: after.owner };
  const event = eventOf('subcloud.transferred', after, actor, detail);
  await insertEvents(tx, [{ ...event, principal: after.owner }], clock.nowMs());
  return {
    audit: {
      subject: `subcloud:${after.name}`,
      before: { owner: before.owner },
      after: { owner: after.owner },
    },
    result: after,
    touched: 'all',
    apply: (world) => {
      world.subclouds.set(after.id, after);
      world.people.delegates.delete(after.id);
      applyBindings(world, pass.table, bindings);
    },
  };
}

function eventOf(kind: EventKind, subcloud: SubcloudRecord, actor: Actor, detail: object) {
  return { kind, node: null, subcloud: subcloud.id, actor: actorName(actor), reason: 'by request', detail };
}
