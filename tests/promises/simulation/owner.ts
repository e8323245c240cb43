/** What owners do through control, and what the answers to their withdrawals promise. */
import type { WriteContext } from '@subcloud/control/api/context';
import { eventCursors } from '@subcloud/control/events/cursor';
import { createIdentity } from '@subcloud/control/identity/identity';
import { memberHandlers } from '@subcloud/control/api/handlers/members';
import { subcloudRecord } from '@subcloud/control/world/subcloud-record';
import type { SubcloudRecord } from '@subcloud/control/world/world';
import type { Withdrawal } from '@subcloud/contract/routes/shapes';
import type { Chance } from './chance.ts';
import { NAMES, OPERATORS, anyManifest } from './choices.ts';
import type { SimulatedControl } from './control.ts';

const ADMIN = { kind: 'admin', action: 'member.invite' } as const;

/** One thing that an owner does about some Subcloud and the node. `onAnswer` hears what a removal is answered with. */
export async function ownerActs(
  control: SimulatedControl,
  node: string,
  chance: Chance,
  onAnswer: (withdrawal: Withdrawal) => void,
): Promise<void> {
  const name = chance.of(NAMES) ?? '';
  const { world } = control;
  const id = world.subcloudByName.get(name);
  switch (chance.weighted({ revise: 4, delete: 1, invite: 3, remove: 2 })) {
    case 'revise':
      await apply(control, name, chance);
      break;
    case 'delete':
      if (id !== undefined) await remove(control, name, id);
      break;
    case 'invite':
      // Who is just leaving cannot be invited.
      if (id !== undefined && world.nodes.get(node)?.memberships.get(id)?.state !== 'draining')
        await memberHandlers.inviteMember(api(control), { params: { name }, body: { node } }, ADMIN);
      break;
    case 'remove':
      if (id === undefined || world.nodes.get(node)?.memberships.has(id) !== true) break;
      // The real withdrawal. It waits for gateways, so nobody here waits for it.
      Promise.resolve(memberHandlers.removeMember(api(control), { params: { name, node } }, ADMIN)).then(
        onAnswer,
        () => undefined,
      );
      break;
  }
}

function api({ context, loop, leases }: SimulatedControl): WriteContext {
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
  return { db, loop, leases, authority, clock, pass: context, gatewayLinks, ...rest };
}

async function apply({ world, loop, context }: SimulatedControl, name: string, chance: Chance): Promise<void> {
  const old = world.subclouds.get(world.subcloudByName.get(name) ?? '');
  const nowMs = context.clock.nowMs();
  const record: SubcloudRecord = subcloudRecord({
    id: old?.id ?? `sub_${chance.below(1_000_000_000)}`,
    owner: old?.owner ?? chance.of(OPERATORS) ?? 'org:acme',
    revision: (old?.revision ?? 0) + 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    manifest: anyManifest(chance, name),
    source: '',
  });
  const put = (): void => {
    world.subclouds.set(record.id, record);
    world.subcloudByName.set(name, record.id);
  };
  await loop.change(() => Promise.resolve({ result: undefined, touched: 'all' as const, apply: put }));
}

async function remove({ world, loop }: SimulatedControl, name: string, id: string): Promise<void> {
  const take = (): void => {
    world.subclouds.delete(id);
    world.subcloudByName.delete(name);
  };
  await loop.change(() => Promise.resolve({ result: undefined, touched: 'all' as const, apply: take }));
}
