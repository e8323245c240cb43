/** What went wrong, for callers that decide by it. The part before the dot says whose fault it is. */
export type PostgresStartFault =
  /** The folder, its owner or the machine's setting must be changed by whoever runs us. */
  | 'config.postgres_folder'
  /** Another live process works on the folder. */
  | 'config.postgres_in_use'
  /** The machine does not let us run PostgreSQL as this user. */
  | 'config.postgres_user'
  /** There are no usable binaries for this platform. */
  | 'platform.postgres_binaries'
  /** PostgreSQL itself refused, died or did not answer in time. */
  | 'platform.postgres_failed'
  /** The caller's signal ended the start. */
  | 'client.postgres_start_aborted';

/** What a message is made of: each field is a sentence or two, for the person who reads the terminal. */
export interface PostgresStartProblem {
  readonly fault: PostgresStartFault;
  readonly happened: string;
  readonly nextStep: string;
  /** The last lines that initdb or PostgreSQL wrote. They hold no data: the verbosity is set so. */
  readonly lastLines?: readonly string[];
  readonly cause?: unknown;
}

/** PostgreSQL could not be started. The message says what happened, whose fault it is and what to do next. */
export class PostgresStartError extends Error {
  readonly fault: PostgresStartFault;
  readonly lastLines: readonly string[];

  constructor(problem: PostgresStartProblem) {
    const lastLines = problem.lastLines ?? [];
    const report =
      lastLines.length === 0 ? '' : `\nIts last lines were:\n${lastLines.map((line) => `  ${line}`).join('\n')}`;
    super(`${problem.happened} ${problem.nextStep} [${problem.fault}]${report}`, { cause: problem.cause });
    this.name = 'PostgresStartError';
    this.fault = problem.fault;
    this.lastLines = lastLines;
  }
}
