/** A refusal that the caller is told of, in OpenAI's envelope. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string | null;
  /** The request's field that is at fault. */
  readonly param: string | null;

  constructor(status: number, message: string, options: { readonly code?: string; readonly param?: string } = {}) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = options.code ?? null;
    this.param = options.param ?? null;
  }

  /** What is not a refusal is a fault of ours, and is not explained to the caller. */
  static from(error: unknown): ApiError {
    return error instanceof ApiError ? error : new ApiError(500, 'The engine failed.', { code: 'internal_error' });
  }

  toJSON(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    const type =
      this.status === 429 ? 'rate_limit_error' : this.status < 500 ? 'invalid_request_error' : 'server_error';
    return { error: { message: this.message, type, param: this.param, code: this.code } };
  }
}
