/** A gateway that is cut off from control, but not from the agents, may be finishing answers that control knows nothing of. */
import { HEARTBEAT_MS, HEARTBEATS_MISSED } from '@subcloud/contract/link';
import { absenceCounts } from '@subcloud/control/membership/absence';
import { DRAIN_TIMEOUT_MS, type Membership } from '@subcloud/control/membership/reconcile';
import { subcloudManifest } from '@subcloud/policy/manifest';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { expect, test } from 'vitest';
import { SimulatedAgent } from './simulation/agent.ts';
import { createChance } from './simulation/chance.ts';
import { PartyClock } from './simulation/clocks.ts';
import { SimulatedControl } from './simulation/control.ts';
import { firstRows } from './simulation/store.ts';
import { keyOf } from './simulation/store/rows.ts';
import { SimulatedStore } from './simulation/store/store.ts';

const GATEWAY = 'gw_a';

test('absence counts for nothing while a gateway is silent, but not for ever', () => {
  const unheard = new Map<string, number>();
  expect(absenceCounts({ unheard }, 0, HEARTBEAT_MS - 1)).toBe(false);
  expect(absenceCounts({ unheard }, 0, HEARTBEAT_MS)).toBe(true);
  unheard.set(GATEWAY, 100_000);
  expect(absenceCounts({ unheard }, 0, 100_000 + DRAIN_TIMEOUT_MS - 1)).toBe(false);
  expect(absenceCounts({ unheard }, 0, 100_000 + DRAIN_TIMEOUT_MS)).toBe(true);
});

/** A node that is leaving an isolating Subcloud, linked to a gateway whose watch has just been cut. */
async function cutOff() {
  const clock = virtualClock();
  const agent = new SimulatedAgent({
    index: 0,
    operator: 'user:op',
    clock,
    settings: {
      consent: { global: true, autoJoin: 'none', isolation: 'isolate', join: [] },
      models: ['m'],
      labels: {},
    },
    address: '10.0.0.1',
  });
  const store = new SimulatedStore(createChance(1));
  firstRows(store, [agent], [{ id: GATEWAY, by: 'socket' }], clock.nowMs());
  const manifest = {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'apart' },
    spec: { participation: { mode: 'open', autoJoin: true }, isolation: 'isolate' },
  };
  const at = { created_at: clock.nowMs(), updated_at: clock.nowMs(), deleted_at: null };
  const record = { id: 'sub_a', name: 'apart', owner: 'org:acme', revision: 1, ...at };
  store.put('subclouds', record.id, record);
  const revision = { subcloud_id: record.id, number: 1, source: '', manifest: subcloudManifest.parse(manifest) };
  store.put('revisions', keyOf('revisions', revision), revision);
  const control = new SimulatedControl({
    client: 'control',
    store,
    leadership: {
      fence: store.takeLead(),
      held: () => true,
      lost: new Promise(() => undefined),
      revoke: () => undefined,
      release: () => Promise.resolve(),
    },
    clock: new PartyClock(clock),
    random: () => 0.5,
    onConcluded: () => undefined,
    onStaged: () => undefined,
    onPassed: () => undefined,
  });
  await control.start();
  const close = control.openWatch(
    GATEWAY,
    () => undefined,
    () => undefined,
  );
  const link = { node: agent.id, address: agent.address, epoch: 0, serial: 0 };
  await control.report({ gateway: GATEWAY, boot: 'b', links: [link], events: [] });
  const node = control.world.nodes.get(agent.id);
  if (node === undefined) throw new Error('there is no node');
  const draining: Membership = {
    state: 'draining',
    reason: 'consent',
    sinceMs: clock.nowMs(),
    activeSinceMs: clock.nowMs() - 60_000,
    assigned: false,
    cooldownFromMs: null,
    drainsTo: 'left',
  };
  node.memberships = new Map([[record.id, draining]]);
  // Time passes a little at a time, with a pass wherever one falls due.
  const wait = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 1_000) {
      clock.advance(1_000);
      for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const pass = async (): Promise<void> => {
    control.loop.touch([agent.id]);
    await wait(1_000);
  };
  close();
  await wait((HEARTBEATS_MISSED + 1) * HEARTBEAT_MS);
  await pass();
  expect(control.world.links.size).toBe(0);
  return { control, link, pass, wait, state: () => node.memberships.get(record.id)?.state };
}

test('what a node is leaving is not over because its gateway went silent', async () => {
  const { state } = await cutOff();
  expect(state()).toBe('draining');
});

test('it is over when the gateway is back and has no link to the node', async () => {
  const { control, state } = await cutOff();
  await control.report({ gateway: GATEWAY, boot: 'b', links: [], events: [] });
  expect(state()).toBe('left');
});

test('it goes on when the gateway is back with its link, and is over at last when nobody says anything', async () => {
  const { control, link, wait, state } = await cutOff();
  await control.report({ gateway: GATEWAY, boot: 'b', links: [link], events: [] });
  expect(state()).toBe('draining');
  await wait(DRAIN_TIMEOUT_MS + 10_000);
  expect(state()).toBe('left');
});
