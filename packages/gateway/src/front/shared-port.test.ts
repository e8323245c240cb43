import { silentLog } from '@subcloud/kit/log';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { expect, test } from 'vitest';
import type { GatewayConfig } from '../config.ts';
import type { NodeLink } from '../link/node-link.ts';
import { EMPTY_TABLE, type PoolIndex } from '../table/routing-table.ts';
import { joinWhenLinked, urlOf } from './shared-port.ts';

const LINKED = {} as NodeLink;

/** A worker that came back, and what it has by now. */
function worker(members: readonly string[]) {
  const clock = virtualClock();
  const linked = new Set<string>();
  const state = { ready: false, listens: 0 };
  const index = { members: { values: () => members.map((node) => ({ node })) } } as unknown as PoolIndex;
  const joining = joinWhenLinked({
    clock,
    log: silentLog,
    table: () => ({ ...EMPTY_TABLE, poolIndexes: new Map([['global', index]]) }),
    links: { get: (node) => (linked.has(node) ? LINKED : undefined) },
    ready: () => state.ready,
    open: { listen: () => Promise.resolve((state.listens += 1)) },
  });
  return { clock, linked, state, joining };
}

test('a worker joins the shared port when it is ready and has every node that requests are routed to, once', () => {
  const { clock, linked, state } = worker(['a', 'b']);
  clock.advance(60_000);
  expect(state.listens).toBe(0);
  state.ready = true;
  clock.advance(1_000);
  linked.add('a');
  clock.advance(1_000);
  expect(state.listens).toBe(0);
  linked.add('b');
  clock.advance(200);
  expect(state.listens).toBe(1);
  clock.advance(60_000);
  expect(state.listens).toBe(1);
});

test('nodes that do not come are waited for ten seconds, counted anew from each time that it became ready', () => {
  const { clock, state } = worker(['elsewhere']);
  state.ready = true;
  clock.advance(9_000);
  state.ready = false;
  clock.advance(5_000);
  state.ready = true;
  clock.advance(9_000);
  expect(state.listens).toBe(0);
  clock.advance(1_500);
  expect(state.listens).toBe(1);
});

test('a worker that is stopped before that never joins', () => {
  const { clock, state, joining } = worker([]);
  joining.stop();
  state.ready = true;
  clock.advance(60_000);
  expect(state.listens).toBe(0);
});

test('nodes reach a worker by its own port, and a gateway alone by its public URL', () => {
  const config = { host: '::1', publicUrl: 'https://gw.example' } as GatewayConfig;
  expect(urlOf(config, { port: 7_700, ownPort: undefined }, true)).toBe('https://gw.example');
  expect(urlOf({ ...config, ownPort: 7_701 }, { port: 7_700, ownPort: 7_701 }, true)).toBe('https://gw.example:7701');
  const ownUrl = 'https://far.example:17701';
  expect(urlOf({ ...config, ownUrl }, { port: 7_700, ownPort: 7_701 }, true)).toBe(ownUrl);
  const { publicUrl: _, ...local } = config;
  expect(urlOf(local as GatewayConfig, { port: 7_700, ownPort: 7_702 }, false)).toBe('http://[::1]:7702');
});
