import { expect, it } from 'vitest';
import { QUANTIZATIONS, TRUST_LEVELS, quantizationAtLeast, trustAtLeast } from './scales.ts';

it('quantisations are in the order int4 < int8 < fp8 < fp16 = bf16 < fp32', () => {
  const atLeast = (least: (typeof QUANTIZATIONS)[number]): string =>
    QUANTIZATIONS.filter((seen) => quantizationAtLeast(seen, least)).join(' ');
  expect(Object.fromEntries(QUANTIZATIONS.map((least) => [least, atLeast(least)]))).toEqual({
    int4: 'int4 int8 fp8 fp16 bf16 fp32',
    int8: 'int8 fp8 fp16 bf16 fp32',
    fp8: 'fp8 fp16 bf16 fp32',
    fp16: 'fp16 bf16 fp32',
    bf16: 'fp16 bf16 fp32',
    fp32: 'fp32',
  });
});

it('trust levels are in the order unverified < identified < verified < audited', () => {
  const atLeast = (least: (typeof TRUST_LEVELS)[number]): string =>
    TRUST_LEVELS.filter((seen) => trustAtLeast(seen, least)).join(' ');
  expect(TRUST_LEVELS.map(atLeast)).toEqual([
    'unverified identified verified audited',
    'identified verified audited',
    'verified audited',
    'audited',
  ]);
});
