/** What is reported of nodes and pools: the busiest, idle ones without counts of their own, and who is out of service. */
import { type LoadRequest, MAX_LOAD_NODES } from '@subcloud/contract/load';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeLink } from '../link/node-link.ts';
import { NodeStats } from '../schedule/node-stats.ts';
import { LoadMeter, busiest } from './load-meter.ts';

test('the busiest are those that a sort of all would have put first', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }),
      fc.integer({ min: 1, max: 100 }),
      (counts, most) => {
        const links = counts.map((inFlight) => ({ inFlight }));
        const sorted = counts.toSorted((a, b) => b - a).slice(0, most);
        expect(busiest(links, most).map(({ inFlight }) => inFlight)).toEqual(sorted);
      },
    ),
  );
});

test('of more nodes than are reported only those are summarised; one that its operator drained says so, an idle pool has no times', async () => {
  using clock = controllableClock();
  let summaries = 0;
  class Counted extends NodeStats {
    override summary(nowMs: number) {
      summaries += 1;
      return super.summary(nowMs);
    }
  }
  const stats = new Counted();
  const link = (index: number): NodeLink =>
    ({
      node: `nod_${index}`,
      inFlight: index,
      stats,
      draining: false,
      inFlightByPool: new Map(),
    }) as unknown as NodeLink;
  const links = Array.from({ length: MAX_LOAD_NODES + 500 }, (_none, index) => link(index));
  const drained = `nod_${MAX_LOAD_NODES + 499}`;
  const reported = new Promise<LoadRequest>((resolve) => {
    const meter = new LoadMeter({
      control: { post: async (_path: string, body: LoadRequest) => resolve(body) } as never,
      gatewayId: 'gtw_one',
      boot: 'boot',
      clock,
      links: () => links,
      waiting: { waiting: () => new Map() },
      members: () => new Map([['idle', 1]]),
      table: () => ({ draining: new Set([drained]) }),
    });
    meter.want(true);
    clock.advance(5_000);
    meter.stop();
  });
  const { nodes, nodesLeftOut, pools } = await reported;
  expect([nodes.length, nodesLeftOut, summaries]).toEqual([MAX_LOAD_NODES, 500, MAX_LOAD_NODES]);
  expect(nodes.filter(({ standing }) => standing === 'draining').map(({ node }) => node)).toEqual([drained]);
  expect(pools).toMatchObject([
    { pool: 'idle', members: 1, requests: 0, timeToFirstToken: [], timePerOutputToken: [] },
  ]);
});
