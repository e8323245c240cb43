/**
 * What of a caller's request reaches an engine, and what of an engine's answer reaches a caller. Allow-lists both ways:
 * whatever is not listed stays behind.
 */
export interface InferencePath {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Forwarded to a node; else the gateway answers from its table. */
  readonly forwarded: boolean;
}

export const MODELS_PATH = '/v1/models';
/** Before the id of one model: `GET /v1/models/ID`. */
export const MODEL_PATH_PREFIX = '/v1/models/';

export const INFERENCE_PATHS = [
  { method: 'POST', path: '/v1/chat/completions', forwarded: true },
  { method: 'POST', path: '/v1/completions', forwarded: true },
  { method: 'POST', path: '/v1/embeddings', forwarded: true },
  { method: 'GET', path: MODELS_PATH, forwarded: false },
] as const satisfies readonly InferencePath[];

export const FORWARDED_PATHS: ReadonlySet<string> = new Set(
  INFERENCE_PATHS.filter(({ forwarded }) => forwarded).map(({ path }) => path),
);

/** From the caller to the engine. Never authorization, cookie, host, forwarded or x-forwarded-*. */
export const REQUEST_HEADERS: ReadonlySet<string> = new Set(['content-type', 'accept']);
/** From the engine to the caller. Never set-cookie, location, server or access-control-*. */
export const RESPONSE_HEADERS: ReadonlySet<string> = new Set(['content-type', 'content-length']);

const WAIT_SECONDS = /^\d{1,6}$/;

/** `retry-after` of an engine or node that is busy, where it is a number of seconds: all that is passed on of it. */
export function busyFor(status: number, retryAfter: unknown): { readonly 'retry-after'?: string } {
  const says = typeof retryAfter === 'string' && WAIT_SECONDS.test(retryAfter);
  return says && (status === 429 || status === 503) ? { 'retry-after': retryAfter } : {};
}

/** Sent with all engine output, so that a browser never runs it. */
export const SANDBOX_HEADERS = { 'content-security-policy': 'sandbox', 'x-content-type-options': 'nosniff' } as const;

export const MAX_BODY_BYTES = 33_554_432;
/** Bodies above this are not kept for a retry. */
export const MAX_RETRIED_BODY_BYTES = 4_194_304;
/** Body keys that the gateway or the agent reads; each may stand once, in lower case only. */
export const READ_BODY_KEYS: ReadonlySet<string> = new Set([
  'model',
  'stream',
  'stream_options',
  'subcloud',
  'max_tokens',
  'max_completion_tokens',
  'n',
  // What requests are told apart by that share a beginning.
  'messages',
  'prompt',
  'prompt_cache_key',
]);
export const POOL_HEADER = 'x-subcloud';
export const CLIENT_REQUEST_ID_HEADER = 'x-client-request-id';
/** What a token's scope `apis` opens, for all paths of internal APIs: `/s/NAME/apis/API/…`. */
export const API_SCOPE_PATH = '/apis';
/** `/s/NAME/v1/…` names a pool by path. */
export const POOL_PATH_PREFIX = '/s/';
