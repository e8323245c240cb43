import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quantizationOf } from './quantization-names.ts';

test.for([
  ['F32', 'fp32'],
  ['all F32', 'fp32'],
  ['torch.float16', 'fp16'],
  ['F16', 'fp16'],
  ['mostly F16', 'fp16'],
  ['BF16', 'bf16'],
  ['bfloat16', 'bf16'],
  ['fp8', 'fp8'],
  ['w8a8_fp8', 'fp8'],
  ['Q8_0', 'int8'],
  ['UD-Q8_K_XL', 'int8'],
  ['w8a8_int8', 'int8'],
  ['8bit', 'int8'],
  ['Q4_K_M', 'int4'],
  ['Q4_K - Medium', 'int4'],
  ['Q4_0', 'int4'],
  ['Q6_K', 'int4'],
  ['Q5_K_S', 'int4'],
  ['IQ4_XS', 'int4'],
  ['MXFP4', 'int4'],
  ['MXFP4 MoE', 'int4'],
  ['NVFP4', 'int4'],
  ['awq', 'int4'],
  ['gptq_marlin', 'int4'],
  ['4bit', 'int4'],
] as const)('%s counts as %s', ([name, step]) => {
  expect(quantizationOf(name)).toBe(step);
});

test.for([
  'Q2_K',
  'Q3_K_M',
  'IQ3_S',
  'IQ1_M',
  'TQ1_0',
  '3bit',
  'unknown',
  '',
  'compressed-tensors',
  'auto',
  '(guessed) Q8_0',
])('%j is below the scale or says nothing: unknown', (name) => {
  expect(quantizationOf(name)).toBeNull();
});

test('anything else is unknown and nothing throws', () => {
  expect([undefined, null, 4, {}, ['F16']].map(quantizationOf)).toEqual([null, null, null, null, null]);
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (name) => {
      expect(() => quantizationOf(name)).not.toThrow();
    }),
  );
});
