/**
 * GPUs by the names that manifests use: a closed list, mapped from what drivers report (`nvidia-smi --query-gpu=name`,
 * `rocm-smi --showproductname`). A driver string that the list does not know, or that adds a word which makes it
 * another device, maps to nothing: the clause is unknown. Longest match first, so that a name is not found in a longer one. Sources: NVIDIA's and AMD's product pages.
 */
export const GPU_NAMES = [
  'B200',
  'GB200',
  'H200',
  'H100',
  'GH200',
  'H20',
  'A100',
  'A800',
  'H800',
  'L40S',
  'L40',
  'L4',
  'A40',
  'A30',
  'A16',
  'A10',
  'A10G',
  'A2',
  'V100',
  'T4',
  'P100',
  'P40',
  'RTX 6000 Ada',
  'RTX 5000 Ada',
  'RTX 4500 Ada',
  'RTX 4000 Ada',
  'RTX A6000',
  'RTX A5000',
  'RTX A4500',
  'RTX A4000',
  'RTX PRO 6000',
  'RTX 5090',
  'RTX 5080',
  'RTX 5070 Ti',
  'RTX 5070',
  'RTX 4090',
  'RTX 4080',
  'RTX 4070 Ti',
  'RTX 4070',
  'RTX 4060 Ti',
  'RTX 4060',
  'RTX 3090 Ti',
  'RTX 3090',
  'RTX 3080 Ti',
  'RTX 3080',
  'RTX 3070',
  'RTX 3060',
  'MI355X',
  'MI350X',
  'MI325X',
  'MI300X',
  'MI300A',
  'MI250X',
  'MI250',
  'MI210',
  'MI100',
  'RX 7900 XTX',
  'RX 7900 XT',
] as const;
export type GpuName = (typeof GPU_NAMES)[number];

const BY_LENGTH = [...GPU_NAMES].sort((a, b) => b.length - a.length);

/**
 * Words after a name that make it another device: a smaller chip of the same number, or a slice of one (`MIG`, and vGPU
 * profiles such as `40C`).
 */
const ANOTHER_DEVICE = / (?:ti|super|laptop|mobile|max q|d|gre|mig|\d+[abcq])(?= )/;

/** The name that a driver's string stands for; undefined for a device that the list does not know, or for two names. */
export function gpuNameOf(driverName: string): GpuName | undefined {
  if (driverName.length > 256) return undefined;
  let words = ` ${driverName
    .replace(/[-_\s[\]]+/g, ' ')
    .trim()
    .toLowerCase()} `;
  let found: GpuName | undefined;
  for (const name of BY_LENGTH) {
    const parts = words.split(` ${name.toLowerCase()} `);
    if (parts.length === 1) continue;
    if (found !== undefined) return undefined;
    found = name;
    // What remains must not hold a second name, nor a shorter name that is part of this one.
    words = parts.join(' | ');
  }
  return found === undefined || ANOTHER_DEVICE.test(words) ? undefined : found;
}
