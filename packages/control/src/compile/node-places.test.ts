import type { Claim } from '@subcloud/policy/facts';
import { expect, test } from 'vitest';
import { placesOf } from './node-places.ts';

const NOW = 1_000;
const claim = (source: 'declared' | 'measured' | 'attested', countries: readonly string[], more: object = {}): Claim =>
  ({
    id: 'clm_1',
    fact: 'location',
    value: { candidates: countries.map((country) => ({ country })), evidence: '' },
    source,
    issuer: 'network',
    issuedAt: 0,
    confirmedAt: 0,
    expiresAt: null,
    ...more,
  }) as Claim;
const countries = (claims: readonly Claim[]) => placesOf(claims, NOW).places?.map(({ country }) => country);

test('a place is known by what was measured, or attested by the network, and never by what was declared', () => {
  expect(countries([])).toBeUndefined();
  expect(countries([claim('declared', ['DE'])])).toBeUndefined();
  expect(countries([claim('measured', []), claim('declared', ['DE'])])).toBeUndefined();
  expect(countries([claim('measured', ['DE'])])).toEqual(['DE']);
  expect(countries([claim('measured', []), claim('attested', ['DE'])])).toEqual(['DE']);
  // Counts in that owner's Subclouds alone, and says nothing to others by itself.
  expect(countries([claim('attested', ['DE'], { issuerOwner: 'org:acme' })])).toBeUndefined();
});

test('claims that contradict each other are all candidates, whoever signed them', () => {
  expect(countries([claim('measured', ['FR', 'DE']), claim('declared', ['US'])])).toEqual(['DE', 'FR']);
  expect(countries([claim('measured', ['DE']), claim('attested', ['US'])])).toEqual(['DE', 'US']);
  expect(countries([claim('measured', ['DE']), claim('attested', ['US'], { issuerOwner: 'org:acme' })])).toEqual([
    'DE',
    'US',
  ]);
});

test('what has expired counts no more, and what rests on a claim ends with it', () => {
  expect(placesOf([claim('attested', ['DE'], { expiresAt: NOW })], NOW)).toEqual({});
  expect(placesOf([claim('attested', ['DE'], { expiresAt: NOW + 5 }), claim('measured', ['DE'])], NOW)).toEqual({
    places: [{ country: 'DE' }],
    placesUntil: NOW + 5,
  });
});
