import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import type { Ban, participationRoutes } from '@subcloud/contract/routes/participation';
import { MAX_BANNED_CALLERS } from '@subcloud/contract/table';
import { principalId } from '@subcloud/contract/vocabulary';
import { newId } from '@subcloud/kit/clock';
import { type Actor, actorName } from '../../access/actor.ts';
import { nodeNotFound, ownedSubcloud } from '../../access/authorise.ts';
import { stageAccess } from '../../compile/access-rows.ts';
import { insertEvents } from '../../store/events.ts';
import { type BanKind, type BanRecord, bannedCallers, nodesConcerned } from '../../world/bans.ts';
import type { World } from '../../world/world.ts';
import { type Handlers, iso, page, withdrawn } from '../context.ts';
import { requireKnown } from './principals.ts';

type Names = 'createBan' | 'listBans' | 'liftBan';

export const banHandlers: Pick<Handlers, Names & keyof typeof participationRoutes> = {
  async createBan(context, { params, body }, actor) {
    const { loop, clock, pass } = context;
    const { result, tableVersion } = await loop.change(async (tx) => {
      const subcloud = ownedSubcloud(actor, loop.world, params.name);
      const { kind, subject } = body;
      const principal = kind === 'node' ? undefined : principalId.safeParse(subject).data;
      if (kind === 'node' && !loop.world.nodes.has(subject)) throw nodeNotFound(subject);
      if (kind !== 'node' && principal === undefined)
        throw new AppError('client.invalid_request', {
          message: 'body.subject: must be user:ID, team:ORG/ID or org:ID',
          param: 'subject',
        });
      if (principal !== undefined) await requireKnown(tx, principal);
      const same = ({ subcloudId, ...ban }: BanRecord): boolean =>
        subcloudId === subcloud.id && ban.kind === kind && ban.subject === subject;
      if ([...loop.world.bans.values()].some(same))
        throw new AppError('client.conflict', { message: `${subject} is banned from ${subcloud.name} already.` });
      if (kind === 'account' && (bannedCallers(loop.world).get(subcloud.id)?.length ?? 0) >= MAX_BANNED_CALLERS)
        throw new AppError('client.conflict', {
          message: `${subcloud.name} bans ${MAX_BANNED_CALLERS} callers already; ban a team or an organisation, or lift one.`,
        });
      const ban: BanRecord = {
        id: newId('ban'),
        subcloudId: subcloud.id,
        kind,
        subject,
        reason: body.reason ?? null,
        by: actorName(actor),
        atMs: clock.nowMs(),
      };
      await tx
        .insertInto('bans')
        .values({
          id: ban.id,
          subcloud_id: ban.subcloudId,
          kind,
          subject,
          reason: ban.reason,
          banned_by: ban.by,
          at: ban.atMs,
          lifted_at: null,
          lifted_by: null,
        })
        .execute();
      await insertEvents(tx, [eventOf('ban.created', ban, actor)], ban.atMs);
      return {
        audit: { subject: `ban:${ban.id}`, before: null, after: banState(loop.world, ban) },
        result: ban,
        touched: nodesConcerned(loop.world, ban),
        apply: (world) => {
          world.bans.set(ban.id, ban);
          if (kind === 'account') stageAccess(world, pass.table);
        },
      };
    });
    return { ban: banView(loop.world, result), withdrawal: await withdrawn(context, tableVersion) };
  },

  listBans({ loop }, { params, query }, actor) {
    const { world } = loop;
    const subcloud = ownedSubcloud(actor, world, params.name);
    const bans = [...world.bans.values()].filter(({ subcloudId }) => subcloudId === subcloud.id);
    const { items, next } = page(bans, ({ id }) => id, query);
    return { items: items.map((ban) => banView(world, ban)), next };
  },

  async liftBan(context, { params }, actor) {
    const { loop, clock, pass } = context;
    await loop.change(async (tx) => {
      const subcloud = ownedSubcloud(actor, loop.world, params.name);
      const ban = loop.world.bans.get(params.id);
      if (ban === undefined || ban.subcloudId !== subcloud.id)
        throw new AppError('client.not_found', { message: `${params.name} has no ban ${params.id}.` });
      const nowMs = clock.nowMs();
      await tx
        .updateTable('bans')
        .set({ lifted_at: nowMs, lifted_by: actorName(actor) })
        .where('id', '=', ban.id)
        .execute();
      await insertEvents(tx, [eventOf('ban.lifted', ban, actor)], nowMs);
      return {
        audit: { subject: `ban:${ban.id}`, before: banState(loop.world, ban), after: null },
        result: undefined,
        touched: nodesConcerned(loop.world, ban),
        apply: (world) => {
          world.bans.delete(ban.id);
          if (ban.kind === 'account') stageAccess(world, pass.table);
        },
      };
    });
    return { lifted: params.id };
  },
};

function banView(world: World, { id, subcloudId, kind, subject, reason, by, atMs }: BanRecord): Ban {
  return { id, subcloud: nameOf(world, subcloudId), kind, subject, reason, by, at: iso(atMs) };
}

function banState(world: World, { subcloudId, kind, subject, reason }: BanRecord) {
  return { subcloud: nameOf(world, subcloudId), kind, subject, reason };
}

function nameOf(world: World, subcloudId: string): string {
  return world.subclouds.get(subcloudId)?.name ?? subcloudId;
}

function eventOf(kind: EventKind, ban: BanRecord, actor: Actor) {
  const of: { readonly kind: BanKind; readonly subject: string } = { kind: ban.kind, subject: ban.subject };
  return {
    kind,
    node: ban.kind === 'node' ? ban.subject : null,
    subcloud: ban.subcloudId,
    actor: actorName(actor),
    reason: ban.reason ?? 'by request',
    detail: { id: ban.id, ...of },
  };
}
