/** AMD's GPUs as `rocm-smi` reports them. Its words changed over the years; all of them are understood. */
import { type GpuName, gpuNameOf } from '@subcloud/policy/gpu-names';
import type { GpuFact } from '@subcloud/policy/facts';
import { type ToolOptions, runTool } from './run-tool.ts';

export const ROCM_QUERY = ['--showproductname', '--showmeminfo', 'vram', '--json'] as const;
const BYTES_A_GIB = 1_073_741_824;
const MAX_NAME = 240;
/** In the order in which they are believed; each is the first that names a GPU of the closed list. */
const NAME_FIELDS = ['card series', 'card model', 'device name'];

/** Undefined: no answer in time; null: there is no such tool, or no such GPU. */
export async function readRocmSmi(options: ToolOptions): Promise<readonly GpuFact[] | null | undefined> {
  const answer = await runTool('rocm-smi', ROCM_QUERY, options);
  if (answer.kind === 'late') return undefined;
  const gpus = answer.kind === 'said' ? parseRocmSmi(answer.text) : [];
  return gpus.length === 0 ? null : gpus;
}

/** `{ "card0": { "Card Series": …, "VRAM Total Memory (B)": … }, "system": … }`, maybe after warnings. */
export function parseRocmSmi(text: string): readonly GpuFact[] {
  const cards = parseObject(text.slice(Math.max(0, text.indexOf('{')), text.lastIndexOf('}') + 1));
  return Object.entries(cards)
    .filter(([name]) => /^card\d{1,3}$/.test(name))
    .sort(([a], [b]) => Number(a.slice(4)) - Number(b.slice(4)))
    .flatMap(([, card]) => (isObject(card) ? [gpuOf(card)] : []));
}

function gpuOf(card: Readonly<Record<string, unknown>>): GpuFact {
  const fields = new Map(
    Object.entries(card).flatMap(([name, value]) =>
      typeof value === 'string' && value !== 'N/A' ? [[name.toLowerCase(), value.trim()] as const] : [],
    ),
  );
  const names = NAME_FIELDS.flatMap((field) => fields.get(field) ?? []).filter((name) => name.length <= MAX_NAME);
  const known = names.find((name) => gpuNameOf(name) !== undefined);
  const model: GpuName | null = known === undefined ? null : (gpuNameOf(known) ?? null);
  const bytes = Number(/^\d{1,18}$/.exec(fields.get('vram total memory (b)') ?? '')?.[0] ?? 0);
  return {
    model,
    driverName: known ?? names[0] ?? 'AMD GPU',
    vramGiB: bytes > 0 ? bytes / BYTES_A_GIB : null,
    confidential: null,
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
