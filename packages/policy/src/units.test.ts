import fc from 'fast-check';
import { percentOf, percentText } from './units.ts';
import { describe, expect, it } from 'vitest';
import { amountText, durationMs, durationText, parseAmount } from './units.ts';

describe('durationMs', () => {
  it.each([
    ['0s', 0],
    ['1ms', 1],
    ['90s', 90_000],
    ['10m', 600_000],
    ['36h', 129_600_000],
    ['365d', 31_536_000_000],
  ])('reads %s', (text, ms) => {
    expect(durationMs(text)).toBe(ms);
    expect(durationText.safeParse(text).success).toBe(true);
  });

  it.each([
    '',
    '10',
    'm',
    '10 m',
    '1.5h',
    '-1s',
    '+1s',
    '01s',
    '1w',
    '1M',
    '1H',
    '10m ',
    '10m\n',
    '9999999999s',
    '1e3s',
  ])('refuses %j, which is no whole number with its unit', (text) => {
    expect(durationMs(text)).toBeNaN();
    expect(durationText.safeParse(text).success).toBe(false);
  });

  it('has a value for every text that the schema takes, and for no other', () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^\d{0,3}[.]?\d{0,8}[a-z]{0,2}$/));
    fc.assert(
      fc.property(text, (drawn) => {
        expect(Number.isNaN(durationMs(drawn))).toBe(!durationText.safeParse(drawn).success);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('parseAmount', () => {
  it('compares as decimals do, exactly, at any size', () => {
    const digits = (max: number): fc.Arbitrary<bigint> => fc.bigInt({ min: 0n, max: 10n ** BigInt(max) - 1n });
    const amount = fc.tuple(digits(18), digits(18));
    const written = ([whole, rest]: readonly [bigint, bigint]): string =>
      `${whole}.${String(rest).padStart(18, '0')} CREDIT`;
    fc.assert(
      fc.property(amount, amount, (a, b) => {
        const [left, right] = [parseAmount(written(a)), parseAmount(written(b))];
        const wanted = a[0] === b[0] ? a[1] >= b[1] : a[0] > b[0];
        expect((left?.atoms ?? -1n) >= (right?.atoms ?? -1n)).toBe(wanted);
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes no notice of digits that say nothing', () => {
    expect(parseAmount('5.10 CREDIT')).toEqual(parseAmount('5.1 CREDIT'));
    expect(parseAmount('5 CREDIT')).toEqual({ atoms: 5n * 10n ** 18n, unit: 'CREDIT' });
  });

  it.each([
    '',
    '5',
    'CREDIT',
    '5CREDIT',
    '5  CREDIT',
    '5 credit',
    '-5 CREDIT',
    '05 CREDIT',
    '.5 CREDIT',
    '5. CREDIT',
    '5,0 CREDIT',
    '1e3 CREDIT',
    `${'9'.repeat(19)} CREDIT`,
    '5 CREDIT ',
  ])('refuses %j', (text) => {
    expect(parseAmount(text)).toBeUndefined();
    expect(amountText.safeParse(text).success).toBe(false);
  });
});

it.each([
  ['50%', 7, 3],
  ['100%', 7, 7],
  ['0%', 7, 0],
  ['12.5%', 8, 1],
  ['99.9999%', 1_000_000, 999_999],
  ['0.1%', 1_000, 1],
  ['0.3%', 1_000, 3],
  ['half', 10, 0],
] as const)('%s of %i is %i, counted exactly and never more', (text, whole, count) => {
  expect(percentOf(text, whole)).toBe(count);
  expect(percentText.safeParse(text).success).toBe(text !== 'half');
});
