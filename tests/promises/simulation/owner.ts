/** What owners do through control, and what the answers to their withdrawals promise. */
import type { WriteContext } from '@subcloud/control/api/context';
import { eventCursors } from '@subcloud/control/events/cursor';
import { createIdentity } from '@subcloud/control/identity/identity';
import { memberHandlers } from '@subcloud/control/api/handlers/members';
import { subcloudHandlers } from '@subcloud/control/api/handlers/subclouds';
import type { Transaction } from '@subcloud/control/loop';
import { createLoads } from '@subcloud/control/load/loads';
import { subcloudRecord } from '@subcloud/control/world/subcloud-record';
import type { SubcloudRecord } from '@subcloud/control/world/world';
import type { Action } from '@subcloud/contract/routes/actions';
import type { Withdrawal } from '@subcloud/contract/routes/shapes';
import type { SubcloudManifest } from '@subcloud/policy/manifest';
import type { Chance } from './chance.ts';
import { NAMES, OPERATORS, anyManifest } from './choices.ts';
import type { SimulatedControl } from './control.ts';

export const admin = <Name extends Action>(action: Name) => ({ kind: 'admin', action }) as const;

/** One thing that an owner does about some Subcloud and the node. `onAnswer` hears what a removal is answered with. */
export function ownerActs(
  control: SimulatedControl,
  node: string,
  chance: Chance,
  onAnswer: (withdrawal: Withdrawal) => void,
): void {
  const name = chance.of(NAMES) ?? '';
  const { world } = control;
  const answered = (answer: Withdrawal | Promise<Withdrawal>): void => {
    Promise.resolve(answer).then(onAnswer, () => undefined);
  };
  const id = world.subcloudByName.get(name);
  switch (chance.weighted({ revise: 4, delete: 1, invite: 3, remove: 2 })) {
    case 'revise':
      apply(control, name, chance).catch(() => undefined);
      break;
    case 'delete':
      // The real handlers. What they answer waits for gateways, so nobody here waits for it.
      if (id !== undefined)
        answered(subcloudHandlers.deleteSubcloud(api(control), { params: { name } }, admin('subcloud.delete')));
      break;
    case 'invite':
      // Who is just leaving cannot be invited.
      if (id !== undefined && world.nodes.get(node)?.memberships.get(id)?.state !== 'draining')
        Promise.resolve(
          memberHandlers.inviteMember(api(control), { params: { name }, body: { node } }, admin('member.invite')),
        ).catch(() => undefined);
      break;
    case 'remove':
      if (id === undefined || world.nodes.get(node)?.memberships.has(id) !== true) break;
      answered(memberHandlers.removeMember(api(control), { params: { name, node } }, admin('member.remove')));
      break;
  }
}

export function api({ context, loop, leases }: SimulatedControl): WriteContext {
  const { db, authority, clock } = context;
  const rest = {
    version: 'sim',
    identity: createIdentity(clock, undefined),
    clientAddress: '',
    openapi: () => ({}),
    replaceMeasurer: () => undefined,
    agentFile: () => Promise.reject(new Error('there is none')),
    nvidia: undefined,
    events: { cursors: eventCursors('sim', 1) },
    sealer: { anchor: () => null, broken: () => null },
  };
  const gatewayLinks = { watching: () => true, cut: () => undefined };
  const loads = createLoads(clock);
  return { db, loop, leases, loads, authority, clock, pass: context, gatewayLinks, ...rest };
}

async function apply({ world, loop, context }: SimulatedControl, name: string, chance: Chance): Promise<void> {
  const nowMs = context.clock.nowMs();
  const manifest = anyManifest(chance, name);
  const id = `sub_${chance.below(1_000_000_000)}`;
  const owner = chance.of(OPERATORS) ?? 'org:acme';
  await loop.change(async (tx) => {
    const old = world.subclouds.get(world.subcloudByName.get(name) ?? '');
    const record: SubcloudRecord = subcloudRecord({
      id: old?.id ?? id,
      owner: old?.owner ?? owner,
      revision: (old?.revision ?? 0) + 1,
      createdAtMs: old?.createdAtMs ?? nowMs,
      updatedAtMs: nowMs,
      manifest,
      source: '',
    });
    await storeSubcloud(tx, record, manifest);
    const put = (): void => {
      world.subclouds.set(record.id, record);
      world.subcloudByName.set(name, record.id);
    };
    return { result: undefined, touched: 'all' as const, apply: put };
  });
}

/** As an apply does it, but for ids, which are drawn by the seed here. */
async function storeSubcloud(tx: Transaction, record: SubcloudRecord, manifest: SubcloudManifest): Promise<void> {
  const { id, name, owner, revision, createdAtMs: created_at, updatedAtMs: updated_at, effectiveHash } = record;
  if (revision === 1)
    await tx
      .insertInto('subclouds')
      .values({ id, name, owner, revision, created_at, updated_at, deleted_at: null })
      .execute();
  else await tx.updateTable('subclouds').set({ revision, updated_at }).where('id', '=', id).execute();
  await tx
    .insertInto('revisions')
    .values({
      subcloud_id: id,
      number: revision,
      manifest: JSON.stringify(manifest),
      source: '',
      content_hash: '',
      effective_hash: effectiveHash,
      created_at: updated_at,
      created_by: 'admin',
    })
    .execute();
}
