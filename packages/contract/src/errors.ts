/**
 * Every error that leaves a process has a code `<owner>.<specific>`: the owner says whose fault it is. `ERROR_CODES` is
 * the whole list; docs/errors has a page for each, and a test ties them. Only `publicMessage` and `details` leave.
 */
export interface ErrorCode {
  readonly status: number;
  /** OpenAI's `type`. */
  readonly type:
    | 'invalid_request_error'
    | 'authentication_error'
    | 'permission_error'
    | 'not_found_error'
    | 'conflict_error'
    | 'rate_limit_error'
    | 'server_error';
  readonly summary: string;
  /** What the reader does next. */
  readonly advice: string;
}

export const ERROR_CODES = {
  'client.invalid_request': {
    status: 400,
    type: 'invalid_request_error',
    summary: 'The request does not have the form that this route takes.',
    advice: 'Correct what the message names; the OpenAPI document has every shape.',
  },
  'client.invalid_body': {
    status: 400,
    type: 'invalid_request_error',
    summary: 'The body is not one JSON object.',
    advice: 'Send one JSON object in UTF-8.',
  },
  'client.ambiguous_body': {
    status: 400,
    type: 'invalid_request_error',
    summary: 'A key that the gateway reads stands twice in the body, or in another case.',
    advice: 'Send each key once, in lower case: engines differ in which one they would believe.',
  },
  'client.model_required': {
    status: 400,
    type: 'invalid_request_error',
    summary: 'The body has no `model`, or it is not a string.',
    advice: 'Name a model that GET /v1/models lists for this pool.',
  },
  'client.conflicting_pools': {
    status: 400,
    type: 'invalid_request_error',
    summary: 'The request names two different Subclouds.',
    advice: 'Name one: in the path, by host, or in the x-subcloud header.',
  },
  'client.unauthenticated': {
    status: 401,
    type: 'authentication_error',
    summary: 'No credential, or one that is not valid.',
    advice:
      'Send `authorization: Bearer KEY` with an account key or a Subcloud token that has not expired or been revoked.',
  },
  'client.authorization_pending': {
    status: 400,
    type: 'invalid_request_error',
    summary: 'Nobody has answered the code yet.',
    advice: 'Open the page that was named, type the code, and ask again after the interval.',
  },
  'client.sign_in_failed': {
    status: 401,
    type: 'authentication_error',
    summary: 'The sign-in did not succeed.',
    advice: 'Begin it again; what a provider or a browser sent did not match what was begun here.',
  },
  'client.too_many_attempts': {
    status: 429,
    type: 'rate_limit_error',
    summary: 'Too many attempts to sign in or to use a code.',
    advice: 'Wait as long as `retry-after` says.',
  },
  'client.not_found': {
    status: 404,
    type: 'not_found_error',
    summary: 'There is no such thing, or not for this credential.',
    advice: 'Check the name and the credential.',
  },
  'client.method_not_allowed': {
    status: 405,
    type: 'invalid_request_error',
    summary: 'The path exists, but not with this method.',
    advice: 'See the OpenAPI document for the methods of this path.',
  },
  'client.conflict': {
    status: 409,
    type: 'conflict_error',
    summary: 'The change contradicts what is there.',
    advice: 'Read the current state, then decide again.',
  },
  'client.revision_conflict': {
    status: 412,
    type: 'conflict_error',
    summary: 'The thing changed since it was read.',
    advice: 'Read it again and apply the change to the new revision.',
  },
  'client.idempotency_key_reused': {
    status: 422,
    type: 'invalid_request_error',
    summary: 'This Idempotency-Key was used for another request.',
    advice: 'Use a new key for each request, and the same one only to send the same request again.',
  },
  'client.idempotency_in_doubt': {
    status: 409,
    type: 'conflict_error',
    summary: 'A request with this Idempotency-Key has come first, and its answer is not there.',
    advice:
      'Where the message says so, send the same request again in a moment; else read the state before you decide.',
  },
  'client.too_large': {
    status: 413,
    type: 'invalid_request_error',
    summary: 'The body is larger than this route takes.',
    advice: 'Send less; the message names the limit.',
  },
  'client.unsupported_operation': {
    status: 400,
    type: 'invalid_request_error',
    summary: 'The model is not served in this way.',
    advice: 'Use a path that its engine offers, or another model: embeddings need an embedding model.',
  },
  'client.unsupported_media_type': {
    status: 415,
    type: 'invalid_request_error',
    summary: 'The body has a content type or encoding that this route does not take.',
    advice: 'Send application/json without content-encoding.',
  },
  'client.headers_too_large': {
    status: 431,
    type: 'invalid_request_error',
    summary: 'The request headers are larger than the limit.',
    advice: 'Send fewer or shorter headers.',
  },
  'client.events_gone': {
    status: 410,
    type: 'invalid_request_error',
    summary:
      'The event stream cannot go on from there: events after it are no longer kept, or the network was restored.',
    advice: 'List again what you follow, then follow from the newest event. Events are kept for 90 days.',
  },
  'client.slow_reader': {
    status: 408,
    type: 'invalid_request_error',
    summary: 'The event stream was cut because its reader did not take what was sent.',
    advice: 'Read faster or filter; connect again with `last-event-id`, and nothing is missed.',
  },
  'client.closed_request': {
    status: 499,
    type: 'invalid_request_error',
    summary: 'The caller closed the connection before the answer ended.',
    advice: 'Nothing: it stands in records only.',
  },
  'policy.forbidden': {
    status: 403,
    type: 'permission_error',
    summary: 'The credential is valid and may not do this.',
    advice: 'Ask the owner or the network admin, or use another credential.',
  },
  'policy.quota_exceeded': {
    status: 403,
    type: 'permission_error',
    summary: 'The owner has as much of this as it may have.',
    advice: "Delete what is not needed, or ask the network's admin to raise the quota (`subcloud quota set`).",
  },
  'policy.access_denied': {
    status: 403,
    type: 'permission_error',
    summary: 'The Subcloud does not admit this caller.',
    advice: 'Ask its owner for a token or a place in its whitelist; from a range of addresses, call from inside it.',
  },
  'policy.bound_elsewhere': {
    status: 403,
    type: 'permission_error',
    summary: 'All traffic of this caller is bound to another Subcloud.',
    advice:
      'Leave the name out: the request then goes where the caller is bound. An admin of who is bound can end that with `subcloud binding end`.',
  },
  'policy.binding_conflict': {
    status: 403,
    type: 'permission_error',
    summary: 'Two groups of this caller are bound to different Subclouds.',
    advice: 'An admin of one of them ends its binding, or the account itself is bound to one.',
  },
  'platform.oidc_unavailable': {
    status: 503,
    type: 'server_error',
    summary: 'The OpenID provider does not answer.',
    advice: 'Try again; the admin checks the provider and `oidcIssuer`.',
  },
  'policy.model_denied': {
    status: 403,
    type: 'permission_error',
    summary: 'The token may not use this model.',
    advice: 'Use one that GET /v1/models lists for this token, or ask for another token.',
  },
  'policy.limit_exceeded': {
    status: 429,
    type: 'rate_limit_error',
    summary: 'The caller, its token or all callers of the Subcloud together have used what they may for now.',
    advice:
      'Try again after `retry-after` seconds; without that header the request alone asks for more than the limit: send less.',
  },
  'policy.join_refused': {
    status: 403,
    type: 'permission_error',
    summary: 'The join token is not valid.',
    advice: 'Make a new one with `subcloud join-token create`.',
  },
  'policy.node_refused': {
    status: 403,
    type: 'permission_error',
    summary: 'The network does not know this node, has removed it, or its proof does not hold.',
    advice: 'Enrol the machine again with a new join token.',
  },
  'policy.gateway_refused': {
    status: 403,
    type: 'permission_error',
    summary: 'The network does not know this gateway by the key that it proved, or has removed it.',
    advice: 'The admin enrols it with `subcloud gateway-token create`; a removed key never returns.',
  },
  'policy.claim_refused': {
    status: 403,
    type: 'permission_error',
    summary: 'The claim or attestation is not accepted: its signature, scope, network or time does not hold.',
    advice: 'Correct what the message names and sign again; nothing was changed.',
  },
  'config.invalid_manifest': {
    status: 422,
    type: 'invalid_request_error',
    summary: 'The manifest has faults.',
    advice: 'Correct each path and line that `details` lists; nothing was changed.',
  },
  'config.failing_tests': {
    status: 422,
    type: 'invalid_request_error',
    summary: 'Tests of the manifest do not hold.',
    advice: 'Correct the manifest or the tests that `details` lists; nothing was changed.',
  },
  'config.invalid_domain': {
    status: 422,
    type: 'invalid_request_error',
    summary: 'The domain has a member that is no ISO 3166 code, or a name that it may not have.',
    advice: 'Correct what `details` lists; nothing was changed.',
  },
  'config.client_address_unknown': {
    status: 400,
    type: 'invalid_request_error',
    summary: 'The proxy in front of the gateway does not say whose request this is.',
    advice:
      'Let every proxy that `--behind-proxy` names append to X-Forwarded-For, or speak the PROXY protocol; nodes need the latter.',
  },
  'policy.too_many_leave': {
    status: 409,
    type: 'conflict_error',
    summary: 'The change would take more members out of the Subcloud than the caller allows.',
    advice: 'See who with `subcloud plan`, then narrow the manifest or raise --max-leave; nothing was changed.',
  },
  'routing.no_eligible_node': {
    status: 503,
    type: 'server_error',
    summary: 'No node is eligible for this model in this pool at this moment.',
    advice: 'See the counted reasons; the owner of the pool can run `subcloud explain`.',
  },
  'routing.unknown_model': {
    status: 404,
    type: 'not_found_error',
    summary: 'No node of the pool offers a model of this name.',
    advice: 'Use a name that GET /v1/models lists for this pool.',
  },
  'capacity.too_many_streams': {
    status: 429,
    type: 'rate_limit_error',
    summary: 'This account, or everybody together, follows as many event streams as there may be.',
    advice: 'Close streams that nobody reads; one stream with a wider filter costs less than many narrow ones.',
  },
  'capacity.overloaded': {
    status: 429,
    type: 'rate_limit_error',
    summary: 'The gateway holds as much as it may, or all nodes that may serve have as many requests as they take.',
    advice: 'Try again after `retry-after` seconds, which is how long it will probably take, as measured.',
  },
  'capacity.queue_timeout': {
    status: 429,
    type: 'rate_limit_error',
    summary: 'The request waited for a place as long as the Subcloud lets it.',
    advice: 'Try again after `retry-after` seconds; if it happens often, the Subcloud needs more nodes.',
  },
  'upstream.failed': {
    status: 502,
    type: 'server_error',
    summary: 'Every node that was tried failed before it answered.',
    advice: 'Try again; if it stays, the operators of the nodes should look at their engines.',
  },
  'upstream.suspect_request': {
    status: 502,
    type: 'server_error',
    summary: 'Two engines ended while they had this request; it is not tried on a third.',
    advice: 'Send it once more at most, or send less: something in it may bring engines down.',
  },
  'upstream.interrupted': {
    status: 502,
    type: 'server_error',
    summary: 'The node broke off in the middle of its answer.',
    advice: 'Try again: what came so far is not complete.',
  },
  'upstream.timeout': {
    status: 504,
    type: 'server_error',
    summary: 'The node did not answer in time.',
    advice: 'Try again, or ask for less.',
  },
  'upstream.withdrawn': {
    status: 503,
    type: 'server_error',
    summary: 'The node lost the right to serve this pool while it was answering.',
    advice: 'Try again: another node will be picked.',
  },
  'platform.table_stale': {
    status: 503,
    type: 'server_error',
    summary: 'The gateway has lost contact with control for longer than its lease.',
    advice: 'Try again shortly; the admin should look at control.',
  },
  'platform.standby': {
    status: 503,
    type: 'server_error',
    summary: 'This control replica does not lead the network, or cannot prove it to itself.',
    advice: 'Try again shortly: another replica leads, or this one is taking over. Inference goes on meanwhile.',
  },
  'platform.starting': {
    status: 503,
    type: 'server_error',
    summary: 'The process is starting or draining.',
    advice: 'Try again shortly.',
  },
  'platform.control_unavailable': {
    status: 503,
    type: 'server_error',
    summary: 'The gateway cannot reach control.',
    advice: 'Try again shortly; inference goes on within the lease.',
  },
  'platform.store_unavailable': {
    status: 503,
    type: 'server_error',
    summary: 'Control cannot reach its database; whether the change was made is not known.',
    advice: 'Try again shortly and read the state before you repeat the change; inference goes on meanwhile.',
  },
  'platform.usage_not_writable': {
    status: 503,
    type: 'server_error',
    summary: 'The gateway cannot write down what it would have to count, so it answers nothing.',
    advice:
      'Try again shortly; the admin should look at the disk of the gateway, or at control, which takes the usage.',
  },
  'platform.version_unsupported': {
    status: 426,
    type: 'invalid_request_error',
    summary: 'The peer speaks a version of the protocol that this release does not.',
    advice: 'Update the older side: releases N-1 to N+1 work together.',
  },
  'platform.attestation_unavailable': {
    status: 503,
    type: 'server_error',
    summary: 'The keys of the attestation service cannot be read at this moment.',
    advice: 'Try again shortly; the admin should look at the address that control was given for them.',
  },
  'platform.internal': {
    status: 500,
    type: 'server_error',
    summary: 'A fault in Subcloud itself.',
    advice: 'Report it with the x-request-id.',
  },
} as const satisfies Record<string, ErrorCode>;

export type ErrorCodeName = keyof typeof ERROR_CODES;

export interface AppErrorOptions {
  /** What a person or client may see; default: the code's summary. */
  readonly message?: string;
  readonly param?: string;
  /** Machine-readable, public. */
  readonly details?: unknown;
  /** For logs only. */
  readonly cause?: unknown;
  readonly retryAfterS?: number;
}

export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCodeName;
  readonly publicMessage: string;
  readonly param: string | null;
  readonly details: unknown;
  readonly retryAfterS: number | null;

  constructor(code: ErrorCodeName, options: AppErrorOptions = {}) {
    const publicMessage = options.message ?? ERROR_CODES[code].summary;
    super(`${code}: ${publicMessage}`, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.publicMessage = publicMessage;
    this.param = options.param ?? null;
    this.details = options.details ?? null;
    this.retryAfterS = options.retryAfterS ?? null;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  /** At each boundary: whatever is no AppError is a fault of ours, and says nothing in public. */
  static from(error: unknown): AppError {
    return error instanceof AppError ? error : new AppError('platform.internal', { cause: error });
  }
}

export interface ErrorEnvelope {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: string;
    readonly param: string | null;
    readonly details: unknown;
  };
}

/** The one mapping to OpenAI's envelope. */
export function toEnvelope(error: AppError): ErrorEnvelope {
  return {
    error: {
      message: error.publicMessage,
      type: ERROR_CODES[error.code].type,
      code: error.code,
      param: error.param,
      details: error.details,
    },
  };
}
