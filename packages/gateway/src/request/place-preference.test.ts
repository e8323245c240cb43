import type { MemberRow, NodeRow, PoolRow } from '@subcloud/contract/table';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeLink } from '../link/node-link.ts';
import { type PickView, whyNotEligible } from '../schedule/filter.ts';
import { NodeStats } from '../schedule/node-stats.ts';
import { pick } from '../schedule/pick.ts';
import { pickSorted } from '../schedule/pick-sorted.ts';
import { checkPlaces, isInside } from './place-preference.ts';
import { type Preferences, unwantedBy } from './preferences.ts';
import { pseudonymOf } from './pseudonym.ts';

const NOW = 1_000_000;
const POOL = { id: 'sub_1', name: 'p' } as PoolRow;

/** A small map, drawn by hand: each name is the ground that it covers. A country is more than its subdivisions. */
const GERMANY = ['Berlin', 'Bavaria', 'else in Germany'];
const MAP: Readonly<Record<string, readonly string[]>> = {
  'DE-BE': ['Berlin'],
  'DE-BY': ['Bavaria'],
  DE: GERMANY,
  FR: ['France'],
  HU: ['Hungary'],
  NO: ['Norway'],
  CH: ['Switzerland'],
  US: ['America'],
  EU: [...GERMANY, 'France', 'Hungary'],
  EEA: [...GERMANY, 'France', 'Hungary', 'Norway'],
};
const CANDIDATES = ['DE-BE', 'DE-BY', 'DE', 'FR', 'HU', 'NO', 'CH', 'US'];
const ground = (names: readonly string[]): ReadonlySet<string> => new Set(names.flatMap((name) => MAP[name] ?? []));

const node = fc.record({
  /** Empty: not known. */
  places: fc.uniqueArray(fc.constantFrom(...CANDIDATES), { maxLength: 2 }),
  expired: fc.boolean(),
  expires: fc.boolean(),
  linked: fc.boolean(),
  drained: fc.boolean(),
});
type Case = typeof node extends fc.Arbitrary<infer Value> ? Value : never;
const list = fc.uniqueArray(fc.constantFrom(...Object.keys(MAP)), { minLength: 1, maxLength: 3 });
const wishes = fc.record(
  {
    location: fc.oneof(fc.record({ in: list }), fc.record({ notIn: list }), fc.record({ in: list, notIn: list })),
    ignore: fc.uniqueArray(fc.nat(11), { minLength: 1, maxLength: 3 }),
    sort: fc.constantFrom('latency' as const, 'load' as const),
  },
  { requiredKeys: [] },
);

function fleet(cases: readonly Case[]): { members: MemberRow[]; view: PickView } {
  const nodes = new Map<string, NodeRow>();
  const links = new Map<string, NodeLink>();
  const members = cases.map((one, index): MemberRow => {
    const id = `nod_${index}`;
    const places = one.places.map((name) =>
      name.includes('-') ? { country: name.slice(0, 2), subdivision: name } : { country: name },
    );
    nodes.set(id, {
      id,
      publicKey: '',
      operator: 'user:op',
      measuredAddress: '127.0.0.1',
      concurrency: null,
      ...(places.length === 0 ? {} : { places }),
      ...(one.expires ? { placesUntil: one.expired ? NOW : NOW + 1 } : {}),
      ...(one.drained ? { draining: true as const } : {}),
    });
    if (one.linked)
      links.set(id, {
        node: id,
        address: '127.0.0.1',
        inFlight: 0,
        draining: false,
        closed: false,
        stats: new NodeStats(),
        lastHeardMs: NOW,
      } as NodeLink);
    return { pool: 'p', node: id, models: ['m'], validUntil: null };
  });
  const view = { nodes, links, controlNowMs: NOW, monotonicMs: NOW, tried: [], model: 'm', stream: true };
  return { members, view };
}

/** By the map, and by nothing of the code under test. */
function mayServe({ places, expired, expires, linked, drained }: Case, wanted: Preferences['location']): boolean {
  if (!linked || drained) return false;
  if (wanted === undefined) return true;
  if (places.length === 0 || (expires && expired)) return false;
  const allowed = wanted.in === undefined ? ground(Object.keys(MAP)) : ground(wanted.in);
  const barred = ground(wanted.notIn ?? []);
  return [...ground(places)].every((spot) => allowed.has(spot) && !barred.has(spot));
}

test('preferences only narrow: who serves would have served without them, and is where the map says that it must be', () => {
  let narrowed = 0;
  let served = 0;
  fc.assert(
    fc.property(fc.array(node, { minLength: 1, maxLength: 40 }), wishes, fc.nat(), (cases, asked, seed) => {
      const { members, view } = fleet(cases);
      const ignored = asked.ignore?.map((index) => `nod_${index % cases.length}`) ?? [];
      const preferences: Preferences = {
        ...(asked.location === undefined ? {} : { location: asked.location }),
        ...(asked.sort === undefined ? {} : { sort: asked.sort }),
        ...(ignored.length === 0
          ? {}
          : { ignore: members.filter((member) => ignored.includes(member.node)).map((one) => pseudonymOf(POOL, one)) }),
      };
      const unwanted = unwantedBy(preferences, POOL, { model: 'm', nowMs: NOW, controlNowMs: NOW });
      const asking: PickView = { ...view, unwanted };
      const may = new Set<string>();
      cases.forEach((one, index) => {
        const id = `nod_${index}`;
        const member = members[index];
        if (member === undefined) return;
        const expected = mayServe(one, asked.location) && !ignored.includes(id);
        const without = whyNotEligible(member, view);
        const reason = whyNotEligible(member, asking);
        expect([id, reason === undefined]).toEqual([id, expected]);
        // What kept it out before keeps it out, by the same name.
        if (without !== undefined) expect(reason).toBe(without);
        else if (!ignored.includes(id) && !expected) expect(reason).toBe('preferences.location');
        if (expected) may.add(id);
        if (without === undefined && !expected) narrowed += 1;
      });
      let state = seed;
      const random = (): number => (state = (state * 16_807 + 11) % 2_147_483_647) / 2_147_483_647;
      for (let round = 0; round < 8; round += 1) {
        const picked =
          preferences.sort === undefined
            ? pick(members, asking, random)
            : pickSorted(members, asking, random, preferences.sort);
        if (may.size === 0) expect(picked).toBeUndefined();
        else expect(may).toContain(picked?.chosen.member.node);
        if (picked !== undefined) served += 1;
        if (picked?.other !== undefined) expect(may).toContain(picked.other.member.node);
      }
    }),
    { numRuns: 600 },
  );
  expect(Math.min(narrowed, served)).toBeGreaterThan(500);
});

test('without preferences nothing of places is looked at', () => {
  expect(unwantedBy({}, POOL, { model: 'm', nowMs: NOW, controlNowMs: NOW })).toBeUndefined();
  expect(unwantedBy({ sort: 'load' }, POOL, { model: 'm', nowMs: NOW, controlNowMs: NOW })).toBeUndefined();
});

test('a name that is no place is told, with what was probably meant', () => {
  expect(() => checkPlaces({ in: ['EU'], notIn: ['DE-BY'] })).not.toThrow();
  expect(() => checkPlaces({ in: ['Germany'] })).toThrow(/"Germany" is no country.*Did you mean DE\?/);
  expect(() => checkPlaces({ notIn: ['org:acme/PLANTS'] })).toThrow(/no country, subdivision or domain/);
});

test('the places of one request are compiled once, however often it picks', () => {
  const wanted = { in: ['EU'], notIn: ['HU'] };
  expect(isInside(wanted)).toBe(isInside(wanted));
});
