/**
 * Why a service cannot start, where that is no fault of the service: what is said, whose turn it is, and what to do next.
 * An option that is wrong by itself is a ConfigError.
 */
export class StartError extends Error {
  override readonly name = 'StartError';
  /** `<owner>.<specific>`, never of owner `platform`. */
  readonly code: `${'client' | 'policy' | 'config' | 'upstream'}.${string}`;
  /** What happened, and what to do next: a sentence each. Together they are the message. */
  readonly happened: string;
  readonly next: string;

  constructor(problem: {
    readonly code: StartError['code'];
    readonly happened: string;
    readonly next: string;
    readonly cause?: unknown;
  }) {
    super(`${problem.happened} ${problem.next}`, problem.cause === undefined ? {} : { cause: problem.cause });
    this.code = problem.code;
    this.happened = problem.happened;
    this.next = problem.next;
  }
}

/** For an address that a service cannot listen on. `flag`: where another one is given. */
export function listenFault(where: string, error: NodeJS.ErrnoException, flag: string): StartError {
  const isTaken = error.code === 'EADDRINUSE';
  return new StartError({
    code: isTaken ? 'config.port_taken' : 'config.address_unusable',
    happened: isTaken ? `${where} is taken by another program.` : `${where} cannot be used: ${error.message}.`,
    next: isTaken ? `Stop that program, or choose another port with ${flag}.` : 'Give an address of this machine.',
    cause: error,
  });
}

/** The line by which a service that runs as a child says so on stdout; undefined for what is a fault of its own. */
export function cannotStartLine(error: unknown): string | undefined {
  if (!(error instanceof StartError)) return undefined;
  const { code, happened, next } = error;
  return `${JSON.stringify({ cannotStart: { code, happened, next } })}\n`;
}
