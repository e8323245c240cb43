import { AppError } from '@subcloud/contract/errors';
import { actorName } from '../../access/actor.ts';
import { nodeNotFound, ownedSubcloud, seesAll, seesNode } from '../../access/authorise.ts';
import { invited, removed } from '../../membership/by-owner.ts';
import type { Membership } from '../../membership/reconcile.ts';
import { insertEvents } from '../../store/events.ts';
import { membershipRow } from '../../store/save.ts';
import { GLOBAL_ID, type NodeRecord, type SubcloudRecord, type World } from '../../world/world.ts';
import { type Handlers, page, withdrawn } from '../context.ts';
import { memberView } from '../views.ts';

export const memberHandlers: Pick<Handlers, 'listMembers' | 'inviteMember' | 'removeMember'> = {
  listMembers({ loop, pass }, { params, query }, actor) {
    const { world } = loop;
    const subcloud = ownedSubcloud(actor, world, params.name);
    // An operator who may know of the Subcloud sees its own nodes in it, not everybody's.
    const visible = membersOf(world, subcloud).filter(
      ({ node }) => seesAll(actor, subcloud, world) || seesNode(actor, node, world),
    );
    const { items, next } = page(visible, ({ node }) => node.id, query);
    return {
      items: items.map(({ node, membership }) => memberView(world, pass.table, subcloud, node, membership)),
      next,
    };
  },

  async inviteMember({ loop, clock, pass }, { params, body }, actor) {
    const { result } = await loop.change(async (tx) => {
      const { world } = loop;
      const subcloud = ownedSubcloud(actor, world, params.name);
      if (subcloud.id === GLOBAL_ID)
        throw new AppError('client.conflict', {
          message: 'Nodes join the global network by their operator’s consent alone.',
        });
      // Node ids are unguessable: whoever names one was told it by somebody who may know it.
      const node = world.nodes.get(body.node);
      if (node === undefined) throw nodeNotFound(body.node);
      const nowMs = clock.nowMs();
      const stored = node.memberships.get(subcloud.id);
      const membership = invited(stored, nowMs);
      if (membership === undefined) {
        const message = `${node.id} is leaving ${subcloud.name}: invite it when its answers in flight are done.`;
        throw new AppError('client.conflict', { message });
      }
      const row = membershipRow(node.id, subcloud.id, membership);
      await tx
        .insertInto('memberships')
        .values(row)
        .onConflict((conflict) => conflict.columns(['node_id', 'subcloud_id']).doUpdateSet(row))
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'membership.invited',
            node: node.id,
            subcloud: subcloud.id,
            actor: actorName(actor),
            reason: 'assigned by owner',
            detail: { from: stored?.state ?? null },
          },
        ],
        nowMs,
      );
      return {
        audit: {
          subject: memberSubject(subcloud, node),
          before: memberState(stored),
          after: memberState(membership),
        },
        result: { subcloud, node },
        touched: [node.id],
        apply: () => setMembership(node, subcloud.id, membership),
      };
    });
    const { subcloud, node } = result;
    const membership = node.memberships.get(subcloud.id);
    if (membership === undefined) throw new AppError('platform.internal');
    return memberView(loop.world, pass.table, subcloud, node, membership);
  },

  async removeMember(context, { params }, actor) {
    const { loop, clock } = context;
    const { tableVersion } = await loop.change(async (tx) => {
      const subcloud = ownedSubcloud(actor, loop.world, params.name);
      const node = loop.world.nodes.get(params.node);
      const stored = node?.memberships.get(subcloud.id);
      if (node === undefined || stored === undefined || subcloud.id === GLOBAL_ID) {
        throw new AppError('client.not_found', { message: `${params.node} has no membership in ${params.name}.` });
      }
      const nowMs = clock.nowMs();
      const membership = removed(stored, nowMs);
      await tx
        .updateTable('memberships')
        .set(membershipRow(node.id, subcloud.id, membership))
        .where('node_id', '=', node.id)
        .where('subcloud_id', '=', subcloud.id)
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'membership.removed',
            node: node.id,
            subcloud: subcloud.id,
            actor: actorName(actor),
            reason: 'removed by owner',
            detail: { from: stored.state },
          },
        ],
        nowMs,
      );
      return {
        audit: { subject: memberSubject(subcloud, node), before: memberState(stored), after: memberState(membership) },
        result: undefined,
        touched: [node.id],
        apply: () => setMembership(node, subcloud.id, membership),
      };
    });
    return withdrawn(context, tableVersion);
  },
};

function membersOf(world: World, subcloud: SubcloudRecord): { node: NodeRecord; membership: Membership }[] {
  return [...world.nodes.values()].flatMap((node) => {
    const membership = node.memberships.get(subcloud.id);
    return membership === undefined ? [] : [{ node, membership }];
  });
}

function memberSubject(subcloud: SubcloudRecord, node: NodeRecord): string {
  return `member:${subcloud.name}/${node.id}`;
}

function memberState(membership: Membership | undefined) {
  if (membership === undefined) return null;
  const { state, reason, assigned } = membership;
  return { state, reason, assigned };
}

function setMembership(node: NodeRecord, subcloudId: string, membership: Membership): void {
  node.memberships = new Map(node.memberships).set(subcloudId, membership);
}
