import fc from 'fast-check';
import { expect, it } from 'vitest';
import { canonicalJson } from './canonical-json.ts';

it('gives equal texts for equal values, whatever the order of their keys', () => {
  const shuffled = fc.jsonValue({ maxDepth: 4 }).chain((value) => fc.tuple(fc.constant(value), fc.nat()));
  fc.assert(
    fc.property(shuffled, ([value, seed]) => {
      expect(canonicalJson(turned(value, seed))).toBe(canonicalJson(value));
    }),
    { numRuns: 2_000 },
  );
});

it('gives different texts for different values, and texts that read as the value', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), fc.jsonValue({ maxDepth: 3 }), (a, b) => {
      expect(JSON.parse(canonicalJson(a))).toEqual(JSON.parse(JSON.stringify(a)));
      if (canonicalJson(a) === canonicalJson(b))
        expect(JSON.parse(JSON.stringify(a))).toEqual(JSON.parse(JSON.stringify(b)));
    }),
    { numRuns: 2_000 },
  );
});

it('leaves out what is undefined, and keeps what is null, empty or named like a part of every object', () => {
  expect(canonicalJson({ b: undefined, a: null, c: [], d: {} })).toBe('{"a":null,"c":[],"d":{}}');
  expect(canonicalJson(JSON.parse('{"__proto__":{"x":1},"constructor":2}'))).toBe(
    '{"__proto__":{"x":1},"constructor":2}',
  );
});

/** The same value with the keys of every object in another order. */
function turned(value: unknown, seed: number): unknown {
  if (Array.isArray(value)) return value.map((entry) => turned(entry, seed));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([key, entry]): [string, unknown] => [key, turned(entry, seed + 1)]);
  const at = entries.length === 0 ? 0 : seed % entries.length;
  return Object.fromEntries([...entries.slice(at), ...entries.slice(0, at)].reverse());
}
