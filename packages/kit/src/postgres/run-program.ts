import { spawn } from 'node:child_process';

/** A program, its arguments, and what it may see of the world. */
export interface ProgramCall {
  readonly command: string;
  readonly args: readonly string[];
  /** Written to the program's stdin, which is then closed. */
  readonly input?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface ProgramResult {
  /** `undefined` when the program could not be started or was killed. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly lastLines: readonly string[];
}

const maxOutputBytes = 64 * 1024;
const maxLastLines = 20;

/**
 * All that PostgreSQL's programs and the system's tools are given of our environment: their own folders and a fixed language. So none of
 * the user's PG* variables bends the database, messages can be recognised, and no secret of ours reaches another process.
 */
export const programEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
} as const;

/** Runs a program to its end. Never throws: a program that cannot be started has no exit code, and its last line says why. */
export function runProgram(call: ProgramCall): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const child = spawn(call.command, call.args, {
      // A user we change to may not be allowed into the folder that we stand in.
      cwd: '/',
      env: programEnvironment,
      stdio: 'pipe',
      ...(call.signal === undefined ? {} : { signal: call.signal, killSignal: 'SIGINT' as const }),
    });
    let stdout = '';
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-maxOutputBytes);
      output = (output + text).slice(-maxOutputBytes);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-maxOutputBytes);
    });
    // A program that ends early closes its stdin while we write: its exit code tells more than EPIPE.
    child.stdin.on('error', () => undefined);
    child.stdin.end(call.input ?? '');
    let startError: Error | undefined;
    child.on('error', (error) => {
      startError ??= error;
      // Without a pid there is no `close` that we could rely on.
      if (child.pid === undefined) resolve({ exitCode: undefined, stdout, lastLines: [error.message] });
    });
    child.on('close', (code) => {
      const lines = lastLinesOf(output);
      resolve({
        exitCode: code ?? undefined,
        stdout,
        lastLines: startError === undefined ? lines : [...lines, startError.message],
      });
    });
  });
}

/** The last lines of a text that are not blank, oldest first. */
export function lastLinesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .slice(-maxLastLines);
}
