/**
 * What the kernel's drivers tell of GPUs by themselves, for machines (and containers) without the makers' tools: names
 * of NVIDIA's without memory, memory of AMD's mostly without names.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gpuNameOf } from '@subcloud/policy/gpu-names';
import type { GpuFact } from '@subcloud/policy/facts';

const AMD_VENDOR = '0x1002';
const BYTES_A_GIB = 1_073_741_824;
const MAX_NAME = 240;
const MAX_ENTRIES = 256;

/** `/proc/driver/nvidia/gpus/BUS/information`. `root` stands for `/`. */
export function nvidiaOfKernel(root: string): readonly GpuFact[] | null {
  const folder = join(root, 'proc/driver/nvidia/gpus');
  const gpus = entries(folder).flatMap((bus) => {
    const name = /^Model:\s*(.+)$/m.exec(read(join(folder, bus, 'information')))?.[1]?.trim();
    if (name === undefined || name.length > MAX_NAME) return [];
    return [{ model: gpuNameOf(name) ?? null, driverName: name, vramGiB: null, confidential: null }];
  });
  return gpus.length === 0 ? null : gpus;
}

/** `/sys/class/drm/cardN/device`: the amdgpu driver's own files. */
export function amdOfKernel(root: string): readonly GpuFact[] | null {
  const folder = join(root, 'sys/class/drm');
  const gpus = entries(folder).flatMap((card) => {
    const device = join(folder, card, 'device');
    if (!/^card\d+$/.test(card) || read(join(device, 'vendor')).trim() !== AMD_VENDOR) return [];
    const bytes = Number(/^\d{1,18}$/.exec(read(join(device, 'mem_info_vram_total')).trim())?.[0] ?? 0);
    if (bytes === 0) return [];
    const product = read(join(device, 'product_name')).trim().slice(0, MAX_NAME);
    const driverName = product === '' ? `AMD GPU ${read(join(device, 'device')).trim().slice(0, 16)}` : product;
    return [{ model: gpuNameOf(product) ?? null, driverName, vramGiB: bytes / BYTES_A_GIB, confidential: null }];
  });
  return gpus.length === 0 ? null : gpus;
}

function entries(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort().slice(0, MAX_ENTRIES);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(0, 4096);
  } catch {
    return '';
  }
}
