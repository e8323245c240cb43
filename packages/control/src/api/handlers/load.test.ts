import type { NodeLoad } from '@subcloud/contract/load';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { expect, test } from 'vitest';
import type { Actor } from '../../access/actor.ts';
import { createLoads } from '../../load/loads.ts';
import { nobody } from '../../world/people.ts';
import type { NodeRecord, World } from '../../world/world.ts';
import type { ApiContext } from '../context.ts';
import { loadHandlers } from './load.ts';

const ADMIN: Actor = { kind: 'admin', action: 'load.list' };
const as = (principal: `user:${string}`): Actor => ({
  kind: 'principal',
  principal,
  credential: 'key_1',
  action: 'load.list',
});

const said = (node: string, inFlight: number): NodeLoad => ({
  node,
  inFlight,
  engineRunning: null,
  engineWaiting: null,
  kvCacheUsed: null,
  latencyMs: null,
  standing: 'in',
});

/** `count` nodes of one operator; the last is drained. */
function fixture(count: number) {
  const nodes = Array.from({ length: count }, (_, index) => ({
    id: `nod_${index}`,
    name: `node-${index}`,
    operator: 'user:operator',
    claims: [],
    memberships: new Map(),
    ...(index === count - 1 ? { drain: { sinceMs: 0 } } : {}),
  })) as unknown as readonly NodeRecord[];
  const world = {
    people: nobody(),
    subclouds: new Map(),
    nodes: new Map(nodes.map((node) => [node.id, node])),
    gateways: new Map(),
    links: new Map(),
  } as unknown as World;
  const loads = createLoads(virtualClock());
  const context = { loads, loop: { world }, leases: { of: () => undefined } } as unknown as ApiContext;
  return { loads, look: async (actor: Actor) => loadHandlers.getLoad(context, {}, actor) };
}

test('gateways are set to work by who may see something, and by nobody else', async () => {
  for (const [actor, isWanted] of [
    [as('user:stranger'), false],
    [as('user:operator'), true],
    [ADMIN, true],
  ] as const) {
    const { loads, look } = fixture(1);
    await look(actor);
    expect(loads.wanted()).toBe(isWanted);
  }
});

test('of more nodes than there is room for, the busiest are shown, what nobody reported is unknown, and the rest is counted', async () => {
  const { loads, look } = fixture(2_005);
  const busy = [said('nod_7', 3), said('nod_2004', 9)];
  // Both leave out the same nodes: their numbers are no sum.
  for (const gateway of ['gw_a', 'gw_b'])
    loads.reported({ gateway, boot: 'boot_a', coversMs: 1_000, pools: [], nodes: busy, nodesLeftOut: 2_003 });
  const { nodes, nodesLeftOut } = await look(as('user:operator'));
  expect([nodes.length, nodesLeftOut]).toEqual([2_000, 5]);
  expect(nodes.slice(0, 3)).toMatchObject([
    { id: 'nod_2004', inFlight: 18, standing: 'draining' },
    { id: 'nod_7', inFlight: 6, standing: 'in' },
    { inFlight: null, standing: null },
  ]);
  expect(await look(as('user:stranger'))).toMatchObject({ nodes: [], nodesLeftOut: 0 });
});
