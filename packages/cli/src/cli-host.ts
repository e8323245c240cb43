import type { Readable, Writable } from 'node:stream';
import type { Clock, Random } from '@subcloud/kit/clock';

/** What the process gives to the command line, so that a test can run it inside its own. */
export interface CliHost {
  /** Without the program's own name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  readonly stdout: Pick<Writable, 'write'>;
  readonly stderr: Pick<Writable, 'write'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Ends the process at once, whatever is still open. */
  readonly endNow: (code: number) => void;
  /** Listens for a signal of the process; returns what takes the listener away. */
  readonly onSignal: (signal: 'SIGINT' | 'SIGTERM', listener: () => void) => () => void;
}
