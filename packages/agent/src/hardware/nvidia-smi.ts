/**
 * NVIDIA's GPUs as `nvidia-smi` reports them. Memory that the driver does not tell (unified memory, missing rights) is
 * unknown. A GPU in MIG mode is none that a whole model could have: its slices are what programs get, so neither its
 * name nor its memory is declared.
 */
import { type GpuName, gpuNameOf } from '@subcloud/policy/gpu-names';
import type { GpuFact } from '@subcloud/policy/facts';
import { type ToolAnswer, type ToolOptions, runTool } from './run-tool.ts';

export const NVIDIA_QUERIES = [
  ['--query-gpu=name,memory.total,mig.mode.current', '--format=csv,noheader,nounits'],
  // Drivers from before 2020 refuse a question with a field that they do not know.
  ['--query-gpu=name,memory.total', '--format=csv,noheader,nounits'],
] as const;
const MIB_A_GIB = 1024;
const MAX_NAME = 240;

/** Undefined: no answer in time; null: there is no such tool, or no such GPU. */
export async function readNvidiaSmi(options: ToolOptions): Promise<readonly GpuFact[] | null | undefined> {
  let answer: ToolAnswer = { kind: 'nothing' };
  for (const query of NVIDIA_QUERIES) {
    answer = await runTool('nvidia-smi', query, options);
    if (answer.kind !== 'nothing') break;
  }
  if (answer.kind === 'late') return undefined;
  const gpus = answer.kind === 'said' ? parseNvidiaSmi(answer.text) : [];
  if (gpus.length === 0) return null;
  const confidential = await readConfidential(options);
  return gpus.map((gpu) => ({ ...gpu, confidential }));
}

/** `NVIDIA H100 80GB HBM3, 81559, Disabled` a line; lines of another form are no GPU. */
export function parseNvidiaSmi(text: string): readonly GpuFact[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', memory, mig = ''] = line.split(',').map((field) => field.trim());
    if (name === '' || memory === undefined || name.length > MAX_NAME) return [];
    if (/^enabled$/i.test(mig)) {
      return [{ model: null, driverName: `${name} (MIG)`, vramGiB: null, confidential: null }];
    }
    const model: GpuName | null = gpuNameOf(name) ?? null;
    return [{ model, driverName: name, vramGiB: gibOf(memory), confidential: null }];
  });
}

/** MiB in the driver's words; `[N/A]`, `[Not Supported]`, `[Insufficient Permissions]` and the like are no number. */
function gibOf(memory: string): number | null {
  const found = /^(\d{1,9})(?: MiB)?$/.exec(memory);
  const mib = found === null ? 0 : Number(found[1]);
  return mib > 0 ? mib / MIB_A_GIB : null;
}

/**
 * Confidential computing is one setting of the whole machine. In its developer mode nothing is protected. Drivers and
 * GPUs that do not know of it end with an error: that is no answer.
 */
async function readConfidential(options: ToolOptions): Promise<boolean | null> {
  const status = saidIn(await runTool('nvidia-smi', ['conf-compute', '-f'], options), 'CC status');
  if (status !== true) return status;
  const devTools = saidIn(await runTool('nvidia-smi', ['conf-compute', '-d'], options), 'DevTools Mode');
  return devTools === null ? null : !devTools;
}

/** The `ON` or `OFF` after a label; null for anything else, and where two lines disagree. */
export function parseSwitch(text: string, label: string): boolean | null {
  const words = new Set(
    text.split('\n').flatMap((line) => {
      const [name, value] = line.split(':').map((part) => part.trim());
      return name === label && value !== undefined ? [value.toUpperCase()] : [];
    }),
  );
  if (words.size !== 1) return null;
  if (words.has('ON')) return true;
  return words.has('OFF') ? false : null;
}

function saidIn(answer: ToolAnswer, label: string): boolean | null {
  return answer.kind === 'said' ? parseSwitch(answer.text, label) : null;
}
