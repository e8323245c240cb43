/** When control says that nothing is in flight at a drained node, nothing is, and nothing new will be. */
import type { ReportEvent } from '@subcloud/contract/watch';
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DrainView, drainView, newDrain, noteInFlight, notePublished } from './drains.ts';
import type { NodeRecord, World } from './world.ts';

const NODE = 'nod_1';
const GATEWAYS = ['gw_a', 'gw_b'] as const;

/** What is known of one gateway by itself, and what of it is under way to control. */
class Gateway {
  version = 0;
  isOut = false;
  inFlight = 0;
  readonly told: Extract<ReportEvent, { type: 'in-flight' }>[] = [];
}

class Network {
  readonly gateways = new Map<string, Gateway>(GATEWAYS.map((id) => [id, new Gateway()]));
  readonly node = { id: NODE, drain: undefined } as unknown as NodeRecord;
  readonly world = {
    nodes: new Map([[NODE, this.node]]),
    links: new Map(),
    unheard: new Map(),
  } as unknown as World;
  version = 0;

  publish(): void {
    this.version += 1;
    notePublished(this.node, this.version);
  }

  state(): string | undefined {
    const all = [...this.gateways.values()];
    const view: DrainView = {
      world: this.world,
      leases: {
        gateways: () => GATEWAYS,
        concluded: (version) => all.every((gateway) => gateway.version >= version),
      },
      startedAtMs: 0,
      nowMs: HEARTBEAT_MS * 10,
    };
    return drainView(view, this.node)?.state;
  }
}

const gateway = fc.constantFrom(...GATEWAYS);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constantFrom('drain', 'drain', 'undrain'), gateway }) },
  {
    weight: 40,
    arbitrary: fc.record({
      what: fc.constantFrom('learn', 'learn', 'send', 'finish', 'finish', 'tell', 'arrive', 'arrive', 'lose'),
      gateway,
    }),
  },
);

function happens(network: Network, what: string, id: string): void {
  const one = network.gateways.get(id) ?? new Gateway();
  const { node } = network;
  switch (what) {
    case 'drain':
      node.drain ??= newDrain(network.version, 'org:acme', null);
      network.publish();
      return;
    case 'undrain':
      node.drain = undefined;
      network.publish();
      return;
    case 'learn':
      one.version = network.version;
      one.isOut = node.drain !== undefined;
      return;
    case 'send':
      if (!one.isOut) one.inFlight += 1;
      return;
    case 'finish':
      one.inFlight = Math.max(0, one.inFlight - 1);
      return;
    case 'tell':
      if (one.isOut)
        one.told.push({ type: 'in-flight', node: NODE, tableVersion: one.version, requests: one.inFlight });
      return;
    case 'arrive': {
      const told = one.told.shift();
      if (told !== undefined) noteInFlight(network.world, id, told);
      return;
    }
    case 'lose':
      one.told.shift();
      return;
  }
}

test('drained is said only where nothing is in flight and nobody picks the node any more', () => {
  let said = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 60, maxLength: 160, size: 'max' }), (steps) => {
      const network = new Network();
      for (const { what, gateway: id } of steps) {
        happens(network, what, id);
        if (network.state() !== 'drained') continue;
        said += 1;
        for (const one of network.gateways.values()) expect([one.inFlight, one.isOut]).toEqual([0, true]);
      }
      // Once everybody has heard and told, it is said.
      happens(network, 'drain', 'gw_a');
      for (const id of GATEWAYS) {
        happens(network, 'learn', id);
        while ((network.gateways.get(id)?.inFlight ?? 0) > 0) happens(network, 'finish', id);
        happens(network, 'tell', id);
        while ((network.gateways.get(id)?.told.length ?? 0) > 0) happens(network, 'arrive', id);
      }
      expect(network.state()).toBe('drained');
    }),
    { numRuns: 1_000 },
  );
  expect(said).toBeGreaterThan(100);
});

test('a gateway that is silent may have something there, for as long as answers are waited for', () => {
  const network = new Network();
  network.node.drain = newDrain(0, 'org:acme', null);
  network.publish();
  for (const id of GATEWAYS) {
    happens(network, 'learn', id);
    happens(network, 'tell', id);
    happens(network, 'arrive', id);
  }
  expect(network.state()).toBe('drained');
  network.world.unheard.set('gw_gone', HEARTBEAT_MS);
  expect(network.state()).toBe('draining');
  network.world.unheard.set('gw_gone', -600_000);
  expect(network.state()).toBe('drained');
});
