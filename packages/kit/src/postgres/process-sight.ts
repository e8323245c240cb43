import { readdir, readFile, readlink } from 'node:fs/promises';
import { isErrorCode } from './error-code.ts';
import { runProgram } from './run-program.ts';

/**
 * What can be told of another process.
 * `absent`: there is none with this pid that still runs. `hidden`: it lives, and we may not look at it.
 */
export type ProcessSight =
  | { readonly state: 'absent' }
  | { readonly state: 'hidden' }
  /** From /proc: both paths are the kernel's own. */
  | { readonly state: 'seen'; readonly executable: string; readonly workingDir: string }
  /** From `ps`, where there is no /proc: the words that the process was started with. */
  | { readonly state: 'named'; readonly commandLine: string };

/** Looks at a process by its pid. Where there is no /proc (macOS), `ps` is asked. */
export async function lookAtProcess(pid: number, platform: string = process.platform): Promise<ProcessSight> {
  if (platform !== 'linux') return lookWithPs(pid);
  try {
    const [executable, workingDir] = await Promise.all([readlink(`/proc/${pid}/exe`), readlink(`/proc/${pid}/cwd`)]);
    // Reinstalling packages removes the file of a program that still runs.
    return { state: 'seen', executable: executable.replace(/ \(deleted\)$/, ''), workingDir };
  } catch (error) {
    // A process that ended and was not yet collected has no executable any more, and counts as gone.
    if (isErrorCode(error, 'ENOENT', 'ESRCH')) return { state: 'absent' };
    return isAlive(pid) ? { state: 'hidden' } : { state: 'absent' };
  }
}

async function lookWithPs(pid: number): Promise<ProcessSight> {
  const answer = await runProgram({ command: 'ps', args: ['-ww', '-o', 'command=', '-p', String(pid)] });
  const commandLine = answer.stdout.trim();
  if (answer.exitCode === 0 && commandLine !== '') return { state: 'named', commandLine };
  return isAlive(pid) ? { state: 'hidden' } : { state: 'absent' };
}

/**
 * A mark that two processes which had the same pid one after the other do not share: when the process was started.
 * `undefined` if there is no such process.
 */
export async function startMarkOf(pid: number, platform: string = process.platform): Promise<string | undefined> {
  if (platform !== 'linux') {
    const answer = await runProgram({ command: 'ps', args: ['-o', 'lstart=', '-p', String(pid)] });
    return answer.exitCode === 0 && answer.stdout.trim() !== '' ? answer.stdout.trim() : undefined;
  }
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The second field is the program's name in brackets, and may itself hold blanks and brackets.
  const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (state === 'Z' || state === 'X') return undefined;
  const ticksAfterBoot = fields[18];
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
  return `${boot}/${ticksAfterBoot}`;
}

/**
 * The processes that run `executable` inside `workingDir`: a cluster's postmaster and all its children, also after the postmaster died.
 * `undefined` where it cannot be told.
 */
export async function processesInside(
  executable: string,
  workingDir: string,
  platform: string = process.platform,
): Promise<number[] | undefined> {
  if (platform !== 'linux') return undefined;
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const sight = await lookAtProcess(Number(entry), platform);
    if (sight.state === 'seen' && sight.workingDir === workingDir && sight.executable === executable)
      found.push(Number(entry));
  }
  return found;
}

/** True if a process with this pid exists, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return isErrorCode(error, 'EPERM');
  }
}
