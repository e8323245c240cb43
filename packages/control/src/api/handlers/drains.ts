import { type Actor, actorName } from '../../access/actor.ts';
import { operatedNode } from '../../access/authorise.ts';
import type { AuditedChange } from '../../audit/audited.ts';
import type { Transaction } from '../../loop.ts';
import { insertEvents } from '../../store/events.ts';
import { drainView, newDrain } from '../../world/drains.ts';
import type { NodeRecord } from '../../world/world.ts';
import { type ApiContext, type Handlers, withdrawn } from '../context.ts';

/** A drain changes no fact, no consent and no membership: nothing is decided by it. */
const NOTHING_DECIDED = { facts: new Set<never>() };

export const drainHandlers: Pick<Handlers, 'drainNode' | 'undrainNode'> = {
  async drainNode(context, { params, body }, actor) {
    const { loop, clock } = context;
    const { result: node, tableVersion } = await loop.change((tx) =>
      changed(tx, operatedNode(actor, loop.world, params.id), {
        actor,
        nowMs: clock.nowMs(),
        to: { reason: body.reason ?? null },
      }),
    );
    const withdrawal = await withdrawn(context, node.drain?.tableVersion ?? tableVersion);
    // Whoever ends it meanwhile has the last word, and this one was in force until then.
    const draining = drainOf(context, node) ?? {
      since: new Date(clock.nowMs()).toISOString(),
      by: actorName(actor),
      reason: body.reason ?? null,
      state: 'draining' as const,
      inFlight: null,
    };
    return { node: node.id, draining, withdrawal };
  },

  async undrainNode({ loop, clock }, { params }, actor) {
    const wasDrained = { value: false };
    const { result: node } = await loop.change((tx) => {
      const node = operatedNode(actor, loop.world, params.id);
      wasDrained.value = node.drain !== undefined;
      return changed(tx, node, { actor, nowMs: clock.nowMs(), to: null });
    });
    return { node: node.id, change: wasDrained.value ? 'undrained' : 'unchanged' };
  },
};

export function drainOf(
  { loop, leases, pass, clock }: Pick<ApiContext, 'loop' | 'leases' | 'pass' | 'clock'>,
  node: NodeRecord,
) {
  const { startedAtMs } = pass;
  return drainView({ world: loop.world, leases, startedAtMs, nowMs: clock.nowMs() }, node);
}

interface Wanted {
  readonly actor: Actor;
  readonly nowMs: number;
  /** Null: in service. */
  readonly to: { readonly reason: string | null } | null;
}

/** Who drains a node twice changes nothing: since when it is, and why, stays as it was said first. */
async function changed(
  tx: Transaction,
  node: NodeRecord,
  { actor, nowMs, to }: Wanted,
): Promise<AuditedChange<NodeRecord>> {
  const before = stateOf(node);
  const unchanged = (node.drain === undefined) === (to === null);
  if (unchanged)
    return {
      audit: { subject: `node:${node.id}`, before, after: before },
      result: node,
      touched: [node.id],
      scope: NOTHING_DECIDED,
      apply: () => undefined,
    };
  const by = actorName(actor);
  await tx
    .updateTable('nodes')
    .set({
      drained_at: to === null ? null : nowMs,
      drained_by: to === null ? null : by,
      drain_reason: to?.reason ?? null,
    })
    .where('id', '=', node.id)
    .execute();
  await insertEvents(
    tx,
    [
      {
        kind: to === null ? 'node.undrained' : 'node.drained',
        node: node.id,
        subcloud: null,
        actor: by,
        reason: to?.reason ?? 'by request',
        detail: {},
      },
    ],
    nowMs,
  );
  const drain = to === null ? undefined : newDrain(nowMs, by, to.reason);
  return {
    audit: { subject: `node:${node.id}`, before, after: { draining: to !== null, reason: to?.reason ?? null } },
    result: node,
    touched: [node.id],
    scope: NOTHING_DECIDED,
    apply: () => void (node.drain = drain),
  };
}

function stateOf({ drain }: NodeRecord) {
  return { draining: drain !== undefined, reason: drain?.reason ?? null };
}
