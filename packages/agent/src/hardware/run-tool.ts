/** Runs one program of this machine that reports on it: no shell, no input, bounded in time and output. */
import { execFile } from 'node:child_process';
import type { Clock } from '@subcloud/kit/clock';

/** The folders in which drivers put their tools. The agent's own PATH and variables are nothing that a tool needs. */
export const TOOL_FOLDERS: readonly string[] = [
  '/usr/local/nvidia/bin',
  '/opt/rocm/bin',
  '/usr/local/bin',
  '/usr/bin',
  '/bin',
  '/usr/sbin',
  '/sbin',
  '/usr/lib/wsl/lib',
  '/run/current-system/sw/bin',
];

export interface ToolOptions {
  readonly clock: Clock;
  /** Default: TOOL_FOLDERS. */
  readonly folders?: readonly string[];
  /** Ends what still runs. */
  readonly signal?: AbortSignal;
}

export type ToolAnswer =
  | { readonly kind: 'said'; readonly text: string }
  /** It is not there, or it ended with an error: it knows of nothing here. */
  | { readonly kind: 'nothing' }
  /** No whole answer in time: that says nothing about the machine. */
  | { readonly kind: 'late' };

const TIMEOUT_MS = 20_000;
const MAX_BYTES = 1_048_576;

/** Never rejects. */
export function runTool(name: string, args: readonly string[], options: ToolOptions): Promise<ToolAnswer> {
  const { clock, folders = TOOL_FOLDERS, signal } = options;
  return new Promise((resolve) => {
    let late = false;
    const settle = (answer: ToolAnswer): void => {
      timer.cancel();
      signal?.removeEventListener('abort', giveUp);
      resolve(answer);
    };
    const child = execFile(
      name,
      [...args],
      {
        env: { PATH: folders.join(':'), LC_ALL: 'C' },
        cwd: '/',
        maxBuffer: MAX_BYTES,
        killSignal: 'SIGKILL',
        encoding: 'utf8',
        windowsHide: true,
      },
      (error, stdout) => {
        if (late) settle({ kind: 'late' });
        else settle(error === null ? { kind: 'said', text: stdout } : { kind: 'nothing' });
      },
    );
    child.stdin?.end();
    child.stdin?.on('error', () => {});
    const giveUp = (): void => {
      late = true;
      child.kill('SIGKILL');
      // A grandchild may hold the pipe open after the child is gone.
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const timer = clock.after(TIMEOUT_MS, giveUp);
    signal?.addEventListener('abort', giveUp, { once: true });
    if (signal?.aborted === true) giveUp();
  });
}
