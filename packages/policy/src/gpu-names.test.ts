import { describe, expect, it } from 'vitest';
import { GPU_NAMES, gpuNameOf } from './gpu-names.ts';

describe('gpuNameOf', () => {
  it.each([
    ['NVIDIA H100 80GB HBM3', 'H100'],
    ['NVIDIA H100 PCIe', 'H100'],
    ['NVIDIA H100 NVL', 'H100'],
    ['NVIDIA H200', 'H200'],
    ['NVIDIA H20', 'H20'],
    ['NVIDIA GH200 480GB', 'GH200'],
    ['NVIDIA GB200', 'GB200'],
    ['NVIDIA A100-SXM4-80GB', 'A100'],
    ['A100-PCIE-40GB', 'A100'],
    ['NVIDIA A10G', 'A10G'],
    ['NVIDIA A10', 'A10'],
    ['NVIDIA L40S', 'L40S'],
    ['NVIDIA L40', 'L40'],
    ['NVIDIA L4', 'L4'],
    ['Tesla T4', 'T4'],
    ['Tesla V100-SXM2-16GB', 'V100'],
    ['NVIDIA GeForce RTX 4090', 'RTX 4090'],
    ['NVIDIA GeForce RTX 3090 Ti', 'RTX 3090 Ti'],
    ['NVIDIA GeForce RTX 4070 Ti', 'RTX 4070 Ti'],
    ['NVIDIA RTX A6000', 'RTX A6000'],
    ['NVIDIA RTX 6000 Ada Generation', 'RTX 6000 Ada'],
    ['NVIDIA RTX PRO 6000 Blackwell Server Edition', 'RTX PRO 6000'],
    ['AMD Instinct MI300X OAM', 'MI300X'],
    ['AMD Instinct MI250', 'MI250'],
    ['AMD Radeon RX 7900 XTX', 'RX 7900 XTX'],
    ['  nvidia\th100   80gb ', 'H100'],
  ])('knows %s as %s', (driverName, name) => {
    expect(gpuNameOf(driverName)).toBe(name);
  });

  it.each([
    ['a number that the list does not have', 'NVIDIA H100000'],
    ['a card that is not in the list', 'NVIDIA GeForce RTX 2080'],
    ['a laptop chip of the same number', 'NVIDIA GeForce RTX 4090 Laptop GPU'],
    ['a mobile workstation chip', 'NVIDIA RTX 5000 Ada Generation Laptop GPU'],
    ['the export version', 'NVIDIA GeForce RTX 4090 D'],
    ['a Super of a card in the list', 'NVIDIA GeForce RTX 4070 SUPER'],
    ['a Ti Super of a card in the list', 'NVIDIA GeForce RTX 4070 Ti SUPER'],
    ['a Ti that is not in the list, of a card that is', 'NVIDIA GeForce RTX 3070 Ti'],
    ['a version of less power', 'NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition'],
    ['a slice', 'NVIDIA A100-SXM4-80GB MIG 1g.10gb'],
    ['a virtual share', 'GRID A100-10C'],
    ['another virtual share', 'NVIDIA A40-48Q'],
    ['two names, of which either may be meant', 'AMD Instinct MI250X / MI250'],
    ['a list of names in one word', 'Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]'],
    ['nothing', ''],
    ['no driver string at all', `H100 ${'x'.repeat(256)}`],
  ])('knows nothing of %s', (_, driverName) => {
    expect(gpuNameOf(driverName)).toBeUndefined();
  });

  it('finds every name of the list in itself', () => {
    expect(GPU_NAMES.map((name) => gpuNameOf(`Maker ${name}`))).toEqual([...GPU_NAMES]);
  });
});
