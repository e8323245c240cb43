import { expect, test } from 'vitest';
import { PlaceDomainError, createPlaceRegistry, splitDomainId } from './place-registry.ts';
import { compilePlaces, isPlace, suggestPlace } from './places.ts';

const domain = (id: string, version = '2026-11-23.4') => ({ id, title: id, version, members: ['FR'] });

test('a domain of an owner is a place under its own name, apart from one of the network with the same', () => {
  const registry = createPlaceRegistry([domain('PLANTS'), domain('org:acme/PLANTS'), domain('team:acme/ml/PLANTS')]);
  expect(isPlace('org:acme/PLANTS', registry)).toBe(true);
  expect(isPlace('org:other/PLANTS', registry)).toBe(false);
  expect(suggestPlace('PLANS', registry)).toBe('PLANTS');
  const compiled = compilePlaces(['org:acme/PLANTS'], undefined, registry);
  expect(compiled.contains({ country: 'FR' })).toBe('yes');
  expect(compiled.domains).toEqual([{ name: 'org:acme/PLANTS', version: '2026-11-23.4' }]);
  expect(splitDomainId('team:acme/ml/PLANTS')).toEqual({ owner: 'team:acme/ml', name: 'PLANTS' });
});

test.each([
  'acme/PLANTS',
  'org:acme/',
  'org:acme/plants',
  'org:acme/DE',
  'org:acme/DE-BY',
  'ORG:acme/PLANTS',
  '/PLANTS',
])('%s is no id of a domain', (id) => {
  expect(() => createPlaceRegistry([domain(id)])).toThrow(PlaceDomainError);
});

test.each(['2026-02-30', '2026-11-23.', '2026-11-23.x', '2026-11-23.1.2', '4'])('%s is no version', (version) => {
  expect(() => createPlaceRegistry([domain('PLANTS', version)])).toThrow('no ISO 8601 date');
});
