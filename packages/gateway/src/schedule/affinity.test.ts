import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeLink } from '../link/node-link.ts';
import { hashBytes, pickByAffinity } from './affinity.ts';
import type { PickView } from './filter.ts';
import { NodeStats } from './node-stats.ts';
import { pick } from './pick.ts';

const NOW = 1_000_000;

function fleet(ids: readonly string[], inFlight: (id: string) => number = () => 0) {
  const nodes = new Map<string, NodeRow>();
  const links = new Map<string, NodeLink>();
  for (const id of ids) {
    nodes.set(id, { id, publicKey: '', operator: 'user:op', measuredAddress: '127.0.0.1', concurrency: null });
    const link = { node: id, address: '127.0.0.1', draining: false, closed: false, lastHeardMs: NOW };
    links.set(id, { ...link, inFlight: inFlight(id), stats: new NodeStats() } as unknown as NodeLink);
  }
  const members = ids.map((node): MemberRow => ({ pool: 'p', node, models: ['m'], validUntil: null }));
  const view: PickView = {
    nodes,
    links,
    controlNowMs: NOW,
    monotonicMs: NOW,
    tried: [],
    model: 'm',
    stream: true,
  };
  return { members, view, links };
}

const chosen = ({ members, view }: ReturnType<typeof fleet>, key: number, random = 0.3): string | undefined => {
  const drawn = pick(members, view, () => random);
  return drawn === undefined ? undefined : pickByAffinity(members, key, view, drawn).chosen.member.node;
};
const ids = fc.uniqueArray(fc.stringMatching(/^nod_[0-9a-z]{8}$/), { minLength: 2, maxLength: 60 });
const keys = fc.array(fc.nat(0xffffffff), { minLength: 1, maxLength: 40 });

test('an idle pool: a key has one node, whatever is drawn and in whatever order members stand', () => {
  fc.assert(
    fc.property(ids, keys, (names, wanted) => {
      const one = fleet(names);
      const other = fleet([...names].reverse());
      for (const key of wanted) expect(chosen(one, key, 0.1)).toBe(chosen(other, key, 0.9));
    }),
  );
});

test('a node that goes moves its own keys alone, and one that comes takes only keys to itself', () => {
  fc.assert(
    fc.property(ids, keys, fc.nat(59), (names, wanted, at) => {
      fc.pre(names.length > 2);
      const gone = names[at % names.length];
      const all = fleet(names);
      const fewer = fleet(names.filter((name) => name !== gone));
      for (const key of wanted) {
        const before = chosen(all, key);
        if (before !== gone) expect(chosen(fewer, key)).toBe(before);
      }
    }),
  );
});

test('a key that everybody uses never loads its node beyond the bound', () => {
  const one = fleet(Array.from({ length: 20 }, (_, index) => `nod_${index}abcdef`));
  const values = ((): (() => number) => {
    let state = 7;
    return () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return state / 4_294_967_296;
    };
  })();
  for (let sent = 1; sent <= 400; sent += 1) {
    const drawn = pick(one.members, one.view, values);
    if (drawn === undefined) throw new Error('nobody');
    pickByAffinity(one.members, 1, one.view, drawn).chosen.link.inFlight += 1;
  }
  const loads = [...one.links.values()].map(({ inFlight }) => inFlight);
  // The mean is 20.
  expect(Math.max(...loads)).toBeLessThan(2 * 20);
  expect(Math.min(...loads)).toBeGreaterThan(0);
});

test('keys spread over the ring', () => {
  const one = fleet(Array.from({ length: 10 }, (_, index) => `nod_${index}`));
  const hit = new Set<string | undefined>();
  for (let key = 0; key < 1_000; key += 1) hit.add(chosen(one, hashBytes(Buffer.from(`prefix ${key}`))));
  expect(hit.size).toBe(10);
});
