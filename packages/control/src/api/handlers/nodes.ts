import type { Handlers } from '../context.ts';
import { page, withdrawn } from '../context.ts';
import { nodeDetailView, nodeView } from '../views.ts';
import { operatedNode, seesNode } from '../../access/authorise.ts';
import { actorName } from '../../access/actor.ts';
import { insertEvents } from '../../store/events.ts';
import { drainOf } from './drains.ts';

export const nodeHandlers: Pick<Handlers, 'listNodes' | 'getNode' | 'removeNode'> = {
  listNodes(context, { query }, actor) {
    const { loop, clock } = context;
    const { world } = loop;
    const { items, next } = page(
      [...world.nodes.values()].filter((node) => seesNode(actor, node, world)),
      ({ id }) => id,
      query,
    );
    return { items: items.map((node) => nodeView(world, node, clock.nowMs(), drainOf(context, node))), next };
  },

  getNode(context, { params }, actor) {
    const { loop, clock } = context;
    const node = operatedNode(actor, loop.world, params.id);
    return nodeDetailView(loop.world, node, clock.nowMs(), drainOf(context, node));
  },

  async removeNode(context, { params }, actor) {
    const { loop, clock } = context;
    const { tableVersion } = await loop.change(async (tx) => {
      const node = operatedNode(actor, loop.world, params.id);
      const nowMs = clock.nowMs();
      await tx.updateTable('nodes').set({ removed_at: nowMs }).where('id', '=', node.id).execute();
      await tx
        .updateTable('memberships')
        .set({ state: 'removed', reason: 'node removed', since: nowMs, assigned: false })
        .where('node_id', '=', node.id)
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'node.removed',
            node: node.id,
            subcloud: null,
            actor: actorName(actor),
            reason: 'removed by request',
            detail: {},
          },
        ],
        nowMs,
      );
      const { name, operator, publicKey } = node;
      return {
        audit: { subject: `node:${node.id}`, before: { name, operator, publicKey }, after: null },
        result: undefined,
        touched: [node.id],
        apply: (world) => {
          world.nodes.delete(node.id);
          world.links.delete(node.id);
        },
      };
    });
    return withdrawn(context, tableVersion);
  },
};
