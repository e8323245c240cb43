/** Whose turn it is: the part of an error code before the dot. */
export type Owner = 'client' | 'policy' | 'config' | 'routing' | 'capacity' | 'upstream' | 'platform';

/** A failure of a command, told in the three things that its reader needs. */
export class CliError extends Error {
  override readonly name = 'CliError';
  /** `<owner>.<specific>`. */
  readonly code: string;
  /** What to do next, as a sentence. */
  readonly next: string | null;
  readonly details: unknown;

  constructor(problem: {
    readonly code: `${Owner}.${string}`;
    readonly message: string;
    readonly next?: string | null;
    readonly details?: unknown;
    readonly cause?: unknown;
  }) {
    super(problem.message, problem.cause === undefined ? {} : { cause: problem.cause });
    this.code = problem.code;
    this.next = problem.next ?? null;
    this.details = problem.details ?? null;
  }
}

const OWNERS: Readonly<Record<Owner, string>> = {
  client: 'this command or what was given to it',
  policy: 'a rule of the network',
  config: 'the manifest, the settings or the machine',
  routing: 'the pool: no node fits at this moment',
  capacity: 'the network: it is full at this moment',
  upstream: 'a node, or what lies between',
  platform: 'Subcloud itself',
};

/** Who has to act on a code, in words; unknown owners are our own fault. */
export function ownerInWords(code: string): string {
  const [owner = ''] = code.split('.');
  return Object.hasOwn(OWNERS, owner) ? OWNERS[owner as Owner] : OWNERS.platform;
}
