/**
 * The limits that a request stands under: taken when it is admitted, in the turn of its first pick, settled when it ends.
 * A retry asks again where the limits have changed since.
 */
import { AppError } from '@subcloud/contract/errors';
import type { OverLimit, Ticket } from '../limits/limiter.ts';
import { estimateTokens } from '../usage/estimate.ts';
import type { Admission } from './admit.ts';
import type { RequestIdentity } from './identify.ts';
import type { RequestDeps } from './request-deps.ts';
import type { ScannedBody } from './scan-body.ts';

/** What an answer may take where the caller does not say. */
export const DEFAULT_MAX_TOKENS = 1_024;
/** Its answer has no tokens. */
const EMBEDDINGS = '/v1/embeddings';

/** Of one request; `ticket` is undefined until its first pick. */
export interface TakenLimits {
  ticket: Ticket | undefined;
  /** The limits that were asked, as text. */
  terms: string;
  usedTokens: number;
  /** `x-ratelimit-*`, as of the admission. */
  headers: Readonly<Record<string, string>>;
}

export function noLimits(): TakenLimits {
  return { ticket: undefined, terms: '', usedTokens: 0, headers: {} };
}

interface LimitInput {
  readonly taken: TakenLimits;
  readonly identity: RequestIdentity;
  readonly scanned: Pick<ScannedBody, 'maxTokens'> & { readonly source: { readonly bytes: Buffer } };
  readonly path: string;
}

/** Throws `policy.limit_exceeded`, or `platform.starting` where this gateway has no share of the limits. */
export function takeLimits(
  deps: Pick<RequestDeps, 'limiter' | 'clock'>,
  { taken, identity, scanned, path }: LimitInput,
  { pool, credential }: Admission,
): void {
  const { limits } = pool.access;
  if (limits === undefined && credential.limits === undefined && taken.ticket === undefined) return;
  const terms = JSON.stringify([limits, credential.limits]);
  if (taken.ticket !== undefined && taken.terms === terms) return;
  const moment = { nowMs: deps.clock.monotonicMs(), atMs: identity.atMs };
  // Under new limits it stands as if it came now: what it took under the old ones goes back.
  if (taken.ticket !== undefined) deps.limiter.settle(taken.ticket, 0, moment.nowMs);
  taken.ticket = undefined;
  const answer = path === EMBEDDINGS ? 0 : (scanned.maxTokens ?? DEFAULT_MAX_TOKENS);
  const tokens = estimateTokens(scanned.source.bytes.byteLength) + answer;
  const verdict = deps.limiter.admit(pool, credential, tokens, moment);
  taken.headers = rateHeaders(deps.limiter, pool, credential, moment);
  if (!verdict.ok) throw refusal(verdict.over, tokens, pool.name);
  taken.ticket = verdict.ticket;
  taken.terms = terms;
}

type Limits = RequestDeps['limiter'];

function rateHeaders(
  limiter: Limits,
  pool: Admission['pool'],
  credential: Admission['credential'],
  moment: Parameters<Limits['remaining']>[3],
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const what of ['requests', 'tokens'] as const) {
    const left = limiter.remaining(pool, credential, what, moment);
    if (left === undefined) continue;
    headers[`x-ratelimit-limit-${what}`] = String(left.limit);
    headers[`x-ratelimit-remaining-${what}`] = String(left.remaining);
    headers[`x-ratelimit-reset-${what}`] = resetText(left.resetMs);
  }
  return headers;
}

/** As OpenAI writes it: `120ms`, `6s`, `1m30s`. */
export function resetText(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 60) return `${seconds}s`;
  return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

const WORDS = {
  requestsPerMinute: 'requests a minute',
  tokensPerMinute: 'tokens a minute',
  concurrent: 'requests at the same time',
  tokensPerDay: 'tokens a day (UTC)',
} as const;
const WHO = { token: 'This token', caller: 'This caller', total: 'All callers together' } as const;

function refusal({ scope, limit, waitMs }: OverLimit, tokens: number, pool: string): AppError {
  const most = scope.limits[limit] ?? 0;
  const start = `${WHO[scope.kind]} may use ${most} ${WORDS[limit]} in ${pool}`;
  const details = { limit, scope: scope.kind, max: most };
  if (waitMs === Infinity) {
    const message = `${start}; this request alone asks for up to ${tokens} tokens. Send less, or a smaller max_tokens.`;
    return new AppError('policy.limit_exceeded', { message, details });
  }
  const retryAfterS = Math.max(1, Math.ceil(waitMs / 1_000));
  return new AppError('policy.limit_exceeded', {
    message: `${start}; try again in ${retryAfterS} s.`,
    details,
    retryAfterS,
  });
}
