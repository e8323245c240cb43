import { ERROR_CODES, type ErrorCodeName } from '@subcloud/contract/errors';
import * as z from 'zod';

/** The server answered, and its answer is an error. `code` says whose fault it is: `<owner>.<specific>`. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: string;
  /** HTTP status; that of the code where the error came inside a stream. */
  readonly status: number;
  readonly details: unknown;
  /** The answer's `x-request-id`, for `subcloud request explain` and for reports. */
  readonly requestId: string | null;

  constructor(problem: {
    readonly code: string;
    readonly status: number;
    readonly message: string;
    readonly details?: unknown;
    readonly requestId?: string | null;
  }) {
    super(problem.message);
    this.code = problem.code;
    this.status = problem.status;
    this.details = problem.details ?? null;
    this.requestId = problem.requestId ?? null;
  }

  /** What the reader does next; null for a code that this release does not know. */
  get advice(): string | null {
    return isErrorCode(this.code) ? ERROR_CODES[this.code].advice : null;
  }
}

export type ConnectionFault =
  /** Nobody answers there, or the connection broke. */
  | 'unreachable'
  /** The other side does not hold the key that was to be trusted. */
  | 'untrusted'
  | 'timeout'
  /** Somebody answers, but not as a network of ours would. */
  | 'unexpected_answer';

/** There is no answer that could be believed. Nothing is known of what the request changed. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly fault: ConnectionFault;

  constructor(fault: ConnectionFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.fault = fault;
  }
}

const envelope = z.object({
  error: z.object({
    message: z.string(),
    code: z.string().nullish(),
    details: z.unknown().optional(),
  }),
});

/** The error that an envelope carries, or undefined where the value is none. */
export function errorFromEnvelope(
  value: unknown,
  status: number | null,
  requestId: string | null,
): ApiError | undefined {
  const parsed = envelope.safeParse(value);
  if (!parsed.success) return undefined;
  const code = parsed.data.error.code ?? 'platform.internal';
  return new ApiError({
    code,
    status: status ?? (isErrorCode(code) ? ERROR_CODES[code].status : 500),
    message: parsed.data.error.message,
    details: parsed.data.error.details,
    requestId,
  });
}

function isErrorCode(code: string): code is ErrorCodeName {
  return Object.hasOwn(ERROR_CODES, code);
}
