import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseNvidiaSmi, parseSwitch } from './nvidia-smi.ts';
import { parseRocmSmi } from './rocm-smi.ts';

const recorded = (path: string): string => readFileSync(new URL(`../../fixtures/${path}`, import.meta.url), 'utf8');

test.for([
  [
    'h100-two.csv',
    [
      ['H100', 81_559 / 1024],
      ['H100', 81_559 / 1024],
    ],
  ],
  [
    'l40s-two-old-query.csv',
    [
      ['L40S', 46_068 / 1024],
      ['L40S', 46_068 / 1024],
    ],
  ],
  [
    'rtx-pro-6000-pair.csv',
    [
      ['RTX PRO 6000', 97_887 / 1024],
      ['RTX PRO 6000', 97_887 / 1024],
    ],
  ],
  ['gb10-unified.csv', [[null, null]]],
  [
    'a100-mig.csv',
    [
      [null, null],
      ['A100', 40],
    ],
  ],
  [
    'mixed.csv',
    [
      ['B200', 183_359 / 1024],
      ['H200', 143_771 / 1024],
      ['V100', 16_160 / 1024],
      ['RTX 4090', 24_564 / 1024],
      ['A100', null],
    ],
  ],
  ['failed.txt', []],
  ['no-devices.txt', []],
  ['unknown-field.txt', []],
] as const)('nvidia-smi: %s', ([name, gpus]) => {
  expect(parseNvidiaSmi(recorded(`nvidia-smi/${name}`)).map(({ model, vramGiB }) => [model, vramGiB])).toEqual(gpus);
});

test('an H100 of 80 GB has 79.6 GiB, and the name is the driver’s', () => {
  const [gpu] = parseNvidiaSmi(recorded('nvidia-smi/h100-two.csv'));
  expect(gpu?.vramGiB).toBeCloseTo(79.65, 2);
  expect(gpu?.driverName).toBe('NVIDIA H100 80GB HBM3');
});

test('a GPU that is cut into slices is told as such, and counts for no whole one', () => {
  expect(parseNvidiaSmi(recorded('nvidia-smi/a100-mig.csv'))[0]).toEqual({
    model: null,
    driverName: 'NVIDIA A100-SXM4-40GB (MIG)',
    vramGiB: null,
    confidential: null,
  });
});

test.for([
  ['conf-compute-on.txt', 'CC status', true],
  ['conf-compute-off.txt', 'CC status', false],
  ['conf-compute-none.txt', 'CC status', null],
  ['conf-compute-dev-tools-on.txt', 'DevTools Mode', true],
  ['conf-compute-on.txt', 'DevTools Mode', null],
] as const)('%s as an answer about %s', ([name, label, said]) => {
  expect(parseSwitch(recorded(`nvidia-smi/${name}`), label)).toBe(said);
});

test('two lines that disagree are no answer', () => {
  expect(parseSwitch('CC status: ON\nCC status: OFF\n', 'CC status')).toBeNull();
});

test.for([
  ['rx-7900-xt.json', [['RX 7900 XT', 21_458_059_264 / 2 ** 30, 'Radeon RX 7900 XT']]],
  [
    'mi100-two-rocm-4.json',
    Array.from({ length: 2 }, () => ['MI100', 34_342_961_152 / 2 ** 30, 'Arcturus GL-XL [AMD Instinct MI100]']),
  ],
  [
    'mi300x-four.json',
    Array.from({ length: 4 }, () => ['MI300X', 205_822_885_888 / 2 ** 30, 'AMD Instinct MI300X OAM']),
  ],
  [
    // The driver itself does not know which of three cards the first one is.
    'rx-6800-and-integrated.json',
    [
      [null, 17_163_091_968 / 2 ** 30, 'Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]'],
      [null, 67_108_864 / 2 ** 30, 'Raphael'],
    ],
  ],
] as const)('rocm-smi: %s', ([name, gpus]) => {
  const found = parseRocmSmi(recorded(`rocm-smi/${name}`));
  expect(found.map(({ model, vramGiB, driverName }) => [model, vramGiB, driverName])).toEqual(gpus);
});

test('rocm-smi: more than nine cards stay in their order', () => {
  const cards = Object.fromEntries(
    [10, 2, 1].map((index) => [`card${index}`, { 'Card Series': `Number ${index}`, 'VRAM Total Memory (B)': 'N/A' }]),
  );
  expect(parseRocmSmi(JSON.stringify(cards)).map(({ driverName, vramGiB }) => [driverName, vramGiB])).toEqual([
    ['Number 1', null],
    ['Number 2', null],
    ['Number 10', null],
  ]);
});

test('no output at all makes a parser throw, and memory is a positive number or unknown', () => {
  const outputs = fc.oneof(fc.string(), fc.json(), fc.stringMatching(/^[A-Z]{0,9}, \d{0,12}(, Enabled)?$/));
  fc.assert(
    fc.property(outputs, (text) => {
      for (const { vramGiB, driverName } of [...parseNvidiaSmi(text), ...parseRocmSmi(text)]) {
        expect(vramGiB === null || vramGiB > 0).toBe(true);
        expect(driverName.length).toBeLessThanOrEqual(256);
      }
    }),
  );
});
