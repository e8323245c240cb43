import fc from 'fast-check';
import { expect, it } from 'vitest';
import { propertySeeds } from './property-seeds.ts';

function drawnHere(): number[] {
  const drawn: number[] = [];
  fc.assert(fc.property(fc.integer(), (value) => void drawn.push(value)));
  return drawn;
}

it('draws the same for the same test and base, and else not', () => {
  const first = (base: string, test: string): number => propertySeeds(base, test).next();
  expect(first('0', 'a')).toBe(first('0', 'a'));
  expect(new Set([first('0', 'a'), first('0', 'b'), first('1', 'a')]).size).toBe(3);
});

it('is what properties are drawn by here, each by another seed', () => {
  const [one, two] = [drawnHere(), drawnHere()];
  expect(one).not.toEqual(two);
  const seeds = propertySeeds(
    process.env['SUBCLOUD_PROPERTY_SEED'] ?? '0',
    'packages/testkit/src/property-seeds.test.ts is what properties are drawn by here, each by another seed',
  );
  const again: number[] = [];
  fc.assert(
    fc.property(fc.integer(), (value) => void again.push(value)),
    { seed: seeds.next() },
  );
  expect(again).toEqual(one);
});
