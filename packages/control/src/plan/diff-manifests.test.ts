import fc from 'fast-check';
import { expect, test } from 'vitest';
import { diffManifests } from './diff-manifests.ts';

test('differences are told by path, and an entry of a list by its id or name', () => {
  const before = {
    spec: {
      models: { allow: [{ id: 'a', alias: 'x' }, { id: 'b' }] },
      nodes: { location: { in: ['EU', 'CH'] }, maxAge: '10m' },
      isolation: 'shared',
    },
  };
  const after = {
    spec: {
      models: { allow: [{ id: 'b' }, { id: 'a', alias: 'y' }, { id: 'c' }] },
      nodes: { location: { in: ['CH', 'EU', 'NO'] }, maxAge: '10m', labels: { tier: 'gold' } },
      isolation: 'shared',
    },
  };
  expect(diffManifests(before, after)).toEqual([
    { path: 'spec.models.allow[a].alias', kind: 'changed', before: 'x', after: 'y' },
    { path: 'spec.models.allow[c].id', kind: 'added', before: null, after: 'c' },
    { path: 'spec.nodes.labels.tier', kind: 'added', before: null, after: 'gold' },
    { path: 'spec.nodes.location.in[]', kind: 'added', before: null, after: 'NO' },
  ]);
});

test('what only stands in another order says the same', () => {
  expect(
    diffManifests(
      { in: ['A', 'B'], tests: [{ name: 'x' }, { name: 'y' }] },
      { tests: [{ name: 'y' }, { name: 'x' }], in: ['B', 'A'] },
    ),
  ).toEqual([]);
});

test('entries of the same name are compared by their place, so that none of them is lost', () => {
  const pin = (digest: string) => ({
    allow: [
      { id: 'a', digest: '1' },
      { id: 'a', digest },
    ],
  });
  expect(diffManifests(pin('2'), pin('3'))).toEqual([
    { path: 'allow[1].digest', kind: 'changed', before: '2', after: '3' },
  ]);
});

test('the first revision is all added', () => {
  expect(diffManifests(undefined, { a: 1, b: { c: [1] } })).toEqual([
    { path: 'a', kind: 'added', before: null, after: 1 },
    { path: 'b.c', kind: 'added', before: null, after: [1] },
  ]);
});

test('any two documents are compared without a fault, a document and itself without a difference, and both ways alike', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.jsonValue({ maxDepth: 4 }), (a, b) => {
      expect(diffManifests(a, structuredClone(a))).toEqual([]);
      const there = diffManifests(a, b).map(({ path }) => path);
      const back = diffManifests(b, a).map(({ path }) => path);
      expect(there).toEqual(back);
    }),
  );
});
