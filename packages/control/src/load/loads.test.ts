import { LOAD_WINDOW_MS, type LoadRequest, type NodeLoad } from '@subcloud/contract/load';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { expect, test } from 'vitest';
import { createLoads } from './loads.ts';

const NODE: NodeLoad = {
  node: 'nod_a',
  inFlight: 1,
  engineRunning: null,
  engineWaiting: null,
  kvCacheUsed: null,
  latencyMs: 10,
  standing: 'in',
};

function report(gateway: string, requests: number, more: Partial<LoadRequest> = {}): LoadRequest {
  const pool = {
    pool: 'global',
    requests,
    failed: 0,
    refused: 0,
    outputTokens: 0,
    timeToFirstToken: [],
    timePerOutputToken: [],
    inFlight: requests,
    waiting: 0,
    members: 1,
  };
  return { gateway, boot: 'boot_a', coversMs: 1_000, pools: [pool], nodes: [NODE], nodesLeftOut: 0, ...more };
}

test('rates are those of all gateways together, each over what it covers; what stands is that of the last word', () => {
  const clock = virtualClock();
  const loads = createLoads(clock);
  loads.reported(report('gw_a', 10));
  loads.reported(report('gw_a', 30));
  loads.reported(
    report('gw_b', 5, { coversMs: 500, nodes: [{ ...NODE, inFlight: 2, latencyMs: 90, standing: 'ejected' }] }),
  );
  const { reporting, pools, nodes, windowMs } = loads.now();
  expect([reporting, windowMs]).toEqual([2, 2_000]);
  expect(pools.get('global')).toMatchObject({ requests: 20 + 10, inFlight: 30 + 5 });
  expect(nodes.get('nod_a')).toMatchObject({ inFlight: 3, latencyMs: 90, standing: 'ejected' });
});

test('a gateway that is silent is forgotten, and one that started anew brings nothing along', () => {
  const clock = virtualClock();
  const loads = createLoads(clock);
  loads.reported(report('gw_a', 10));
  loads.reported(report('gw_a', 1, { boot: 'boot_b' }));
  expect(loads.now().pools.get('global')?.requests).toBe(1);
  clock.advance(LOAD_WINDOW_MS + 1);
  expect(loads.now()).toMatchObject({ reporting: 0, windowMs: 0 });
});

test('gateways are to report while somebody looks, and for some seconds after', () => {
  const clock = virtualClock();
  const loads = createLoads(clock);
  expect(loads.wanted()).toBe(false);
  loads.now();
  expect(loads.wanted()).toBe(false);
  loads.look();
  expect(loads.wanted()).toBe(true);
  clock.advance(60_000);
  expect(loads.wanted()).toBe(false);
});
