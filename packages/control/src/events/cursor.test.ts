import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eventCursors } from './cursor.ts';

const position = fc.integer({ min: 0, max: 2 ** 47 });

test('an id leads back to its place, the same for ever; a mere place has another id each time', () => {
  const { idOf, placeOf, parse } = eventCursors('secret', 3);
  fc.assert(
    fc.property(position, (place) => {
      expect(parse(idOf(place))).toBe(place);
      expect(parse(placeOf(place))).toBe(place);
      expect(idOf(place)).toBe(eventCursors('secret', 3).idOf(place));
      expect(new Set([idOf(place), placeOf(place), placeOf(place)]).size).toBe(3);
    }),
  );
});

test('an id of before a restore is known as such, and what this network has not written is nothing', () => {
  const { parse } = eventCursors('secret', 3);
  expect(parse(eventCursors('secret', 2).idOf(7))).toBe('foreign');
  expect(parse(eventCursors('other', 3).idOf(7))).toBeUndefined();
  fc.assert(fc.property(fc.string(), (text) => parse(text) === undefined));
});

test('ids of neighbours have nothing in common that would count them', () => {
  const { idOf } = eventCursors('secret', 1);
  const ids = Array.from({ length: 1_000 }, (_, place) => idOf(place));
  expect(new Set(ids.map((id) => id.slice(0, 4))).size).toBeGreaterThan(990);
});
