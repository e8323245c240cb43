/** A command line run inside a test's process. */
import { Readable } from 'node:stream';
import { type Clock, systemClock, systemRandom } from '@subcloud/kit/clock';
import { runCli } from '../run-cli.ts';

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Resolves with what it printed and its exit code; nobody sends it a signal. */
export async function runCaptured(
  argv: readonly string[],
  options: {
    /** All of its environment; left out: nothing. */
    readonly env?: Readonly<Record<string, string>> | undefined;
    readonly stdin?: string | undefined;
    readonly clock?: Clock | undefined;
    /** Told all of stderr so far, at each write. */
    readonly onStderr?: ((all: string) => void) | undefined;
  } = {},
): Promise<Ran> {
  let [stdout, stderr] = ['', ''];
  const exitCode = await runCli({
    argv,
    env: options.env ?? {},
    stdin: Readable.from([options.stdin ?? '']),
    stdout: { write: (text: string) => ((stdout += text), true) },
    stderr: { write: (text: string) => ((stderr += text), options.onStderr?.(stderr), true) },
    clock: options.clock ?? systemClock,
    random: systemRandom,
    endNow: () => undefined,
    onSignal: () => () => undefined,
  });
  return { exitCode, stdout, stderr };
}
