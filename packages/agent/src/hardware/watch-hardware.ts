/** The GPUs of this machine, looked at now and then. Everything here is the machine's own word: declared, not measured. */
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { FactValues, GpuFact } from '@subcloud/policy/facts';
import { readNvidiaSmi } from './nvidia-smi.ts';
import { readRocmSmi } from './rocm-smi.ts';
import type { ToolOptions } from './run-tool.ts';
import { amdOfKernel, nvidiaOfKernel } from './system-gpus.ts';

const LOOK_MS = 600_000;
/** What a declaration holds. */
const MAX_GPUS = 64;

export type HardwareSetting = 'auto' | 'none';

export interface Hardware {
  /** Null: nothing was found, or the operator does not want to tell. */
  readonly current: FactValues['hardware'] | null;
  /** Takes another setting; resolves when it is in force. */
  use(setting: HardwareSetting): Promise<void>;
  onChange(listener: () => void): void;
  /** Looks now. Never rejects. */
  look(): Promise<void>;
  stop(): void;
}

export interface HardwareOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Where tools are looked for; default: where drivers put them. */
  readonly toolFolders?: readonly string[] | undefined;
  /** Stands for `/` where the kernel's files are read. */
  readonly root?: string | undefined;
}

export function watchHardware({ clock, log, toolFolders, root = '/' }: HardwareOptions): Hardware {
  const ending = new AbortController();
  const tools: ToolOptions = {
    clock,
    signal: ending.signal,
    ...(toolFolders === undefined ? {} : { folders: toolFolders }),
  };
  let setting: HardwareSetting = 'none';
  let nvidia: readonly GpuFact[] | null = null;
  let amd: readonly GpuFact[] | null = null;
  let current: FactValues['hardware'] | null = null;
  let stopped = false;
  const listeners: (() => void)[] = [];

  const take = (gpus: readonly GpuFact[]): void => {
    const next = setting === 'none' || gpus.length === 0 ? null : { gpus: gpus.slice(0, MAX_GPUS) };
    if (stopped || JSON.stringify(next) === JSON.stringify(current)) return;
    current = next;
    log.info({ gpus: gpus.map(({ driverName, vramGiB }) => ({ driverName, vramGiB })) }, 'the GPUs of this machine');
    for (const listener of listeners) listener();
  };
  const lookNow = async (): Promise<void> => {
    const [nvidiaSaid, amdSaid] = await Promise.all([readNvidiaSmi(tools), readRocmSmi(tools)]);
    // A tool that is late says nothing new; what it said before stands.
    if (nvidiaSaid !== undefined) nvidia = nvidiaSaid ?? nvidiaOfKernel(root);
    if (amdSaid !== undefined) amd = amdSaid ?? amdOfKernel(root);
    take([...(nvidia ?? []), ...(amd ?? [])]);
  };
  let looking: Promise<void> | undefined;
  const look = async (): Promise<void> => {
    if (setting === 'none' || stopped) return;
    looking ??= lookNow().finally(() => {
      looking = undefined;
    });
    await looking;
  };
  const ticking = clock.every(LOOK_MS, () => void look());
  return {
    get current() {
      return current;
    },
    async use(next) {
      setting = next;
      if (next === 'none') take([]);
      await look();
    },
    onChange: (listener) => {
      listeners.push(listener);
    },
    look,
    stop() {
      stopped = true;
      ticking.cancel();
      ending.abort();
    },
  };
}
