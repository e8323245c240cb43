/**
 * A request for an internal API that members of a pool host, from its first byte to its last: identified, admitted,
 * limited, counted and explained like an inference request, and picked by the same rule. Its bodies are not read but
 * passed as they come. Another node is tried only where nothing was sent to an API, since nobody here knows what a second
 * request would do.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { API_SCOPE_PATH } from '@subcloud/contract/inference';
import { apiId, cleanTarget, declares } from '@subcloud/policy/internal-api';
import { RECEIPT_SALT_HEADER } from '@subcloud/contract/receipts';
import type { PoolRow } from '@subcloud/contract/table';
import { placeIn } from '../capacity/places.ts';
import { clientAddress } from '../front/client-address.ts';
import { account } from '../request/account.ts';
import { type Admission, type Caller, admit } from '../request/admit.ts';
import { answerHeaders, identityHeaders, poolHeaders } from '../request/answer-headers.ts';
import { credentialHash } from '../request/authenticate.ts';
import { DecisionTrace } from '../request/decision-trace.ts';
import { begin } from '../request/handler.ts';
import { type RequestIdentity, identify } from '../request/identify.ts';
import { noLimits, takeLimits } from '../request/limit.ts';
import { noEligibleNode } from '../request/no-eligible-node.ts';
import type { RequestDeps } from '../request/request-deps.ts';
import { newSalt } from '../request/receipt-hashes.ts';
import { resolvePool } from '../request/resolve-pool.ts';
import { sendError } from '../request/send-error.ts';
import { TriedNode } from '../schedule/node-stats.ts';
import { type Pick, pick } from '../schedule/pick.ts';
import { membersServing } from '../table/routing-table.ts';
import { type ApiOutcome, callApi } from './call-api.ts';

export interface ApiRoute {
  readonly poolName: string;
  readonly api: string;
  /** Path and query below the API's name, as they were sent. */
  readonly target: string;
}

const MAX_TRIES = 3;
const API_PATH = /^\/apis\/([a-z0-9-]{1,63})(\/.*)?$/;

/** `path` stands below `/s/NAME`; `query` with its question mark. Undefined: it is none of an API. */
export function apiRoute(poolName: string | undefined, path: string, query: string): ApiRoute | undefined {
  if (poolName === undefined) return undefined;
  const [, api, target = '/'] = API_PATH.exec(path) ?? [];
  return api === undefined ? undefined : { poolName, api, target: `${target}${query}` };
}

/** Never rejects: every fault of a stage ends as an answer. */
export async function handleApi(
  deps: RequestDeps,
  request: IncomingMessage,
  response: ServerResponse,
  route: ApiRoute,
): Promise<void> {
  const identity = identify(request, deps.clock);
  const trace = new DecisionTrace(identity, 'call_api');
  deps.spans?.begun(request, identity, API_SCOPE_PATH);
  const active = begin(deps, identity, response);
  const taken = noLimits();
  let headers = identityHeaders(identity);
  const decide = (outcome: string, status: number): void =>
    deps.decided(trace.record(outcome, status, deps.clock.monotonicMs()), trace.operation);
  try {
    if (deps.draining()) throw new AppError('platform.starting', { retryAfterS: 1 });
    const choice = resolvePool(request, route.poolName, deps.domain);
    const hash = credentialHash(request);
    const caller = { hash, choice, address: clientAddress(request), path: API_SCOPE_PATH };
    const first = admit(deps.present, caller);
    active.credentialHash = caller.hash;
    deps.used(first.credential.id, identity.atMs);
    trace.admitted(first);
    trace.model = apiId(route.api);
    headers = { ...headers, ...poolHeaders(first.pool) };
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') throw new AppError('client.unsupported_media_type');
    if (deps.journal.refuses()) throw new AppError('platform.usage_not_writable', { retryAfterS: 1 });
    const tried: string[] = [];
    const salt = newSalt();
    for (;;) {
      const { admission, picked } = choose(
        deps,
        { caller, request, route, tried, taken, identity, trace },
        first.pool.id,
      );
      const outcome = await attempt(deps, {
        admission,
        picked,
        request,
        response,
        route,
        active,
        identity,
        trace,
        taken,
        salt,
      });
      if (outcome.kind === 'unsent') {
        tried.push(picked.chosen.member.node);
        if (outcome.mayRetry && tried.length < MAX_TRIES) continue;
        throw outcome.error;
      }
      if (outcome.kind === 'failed' && !response.headersSent) throw outcome.error;
      const whole = outcome.kind === 'answered';
      const stored = await count(deps, identity, { admission, picked, taken, route, outcome });
      decide(whole ? 'answered' : outcome.error.code, outcome.status);
      if (whole && stored) response.end();
      else response.destroy();
      return;
    }
  } catch (error) {
    const appError = AppError.from(error);
    if (appError.code === 'platform.internal') deps.log.error({ err: error, requestId: identity.requestId }, 'fault');
    decide(appError.code, appError.status);
    if (!request.complete) response.shouldKeepAlive = false;
    sendError(response, appError, { ...headers, ...taken.headers });
  } finally {
    if (taken.ticket !== undefined) deps.limiter.settle(taken.ticket, 0, deps.clock.monotonicMs());
    deps.active.remove(active);
  }
}

interface Choosing {
  readonly caller: Caller;
  readonly request: IncomingMessage;
  readonly route: ApiRoute;
  readonly tried: readonly string[];
  readonly taken: ReturnType<typeof noLimits>;
  readonly identity: RequestIdentity;
  readonly trace: DecisionTrace;
}

/** Asks everything again, on the table of this moment; nothing is awaited between this and the dispatch. */
function choose(
  deps: RequestDeps,
  { caller, request, route, tried, taken, identity, trace }: Choosing,
  poolId: string,
): { readonly admission: Admission; readonly picked: Pick } {
  const admission = admit(deps.present, caller);
  const { table, pool, credential } = admission;
  if (pool.id !== poolId) throw new AppError('client.not_found');
  // Without a scope a token that is narrowed to models is one for models.
  if (credential.models !== undefined && credential.scopes === undefined) throw new AppError('policy.forbidden');
  checkTarget(pool, request.method ?? '', route);
  const model = apiId(route.api);
  const monotonicMs = deps.clock.monotonicMs();
  const { nodes } = table;
  const controlNowMs = deps.present.controlNowMs();
  const { links } = deps.present;
  const reserves = deps.reserves.of(table, links, monotonicMs);
  const view = { nodes, links, controlNowMs, monotonicMs, tried, model, stream: true, reserves };
  const members = membersServing(table, pool.name, model);
  trace.picking(admission, members.length);
  const picked = pick(members, view, deps.random);
  if (picked === undefined) {
    throw tried.length > 0 ? new AppError('upstream.failed') : noEligibleNode(table, pool, credential, model, view);
  }
  takeLimits(deps, { taken, identity, scanned: NO_TOKENS, path: API_SCOPE_PATH }, admission);
  trace.overLimit = taken.ticket?.over ?? [];
  const { node } = picked.chosen.member;
  const { requestId } = identity;
  deps.observe?.onDispatch?.({ requestId, pool: pool.name, model, node, tableVersion: table.version });
  return { admission, picked };
}

const NO_TOKENS = { maxTokens: 0, source: { bytes: Buffer.alloc(0) } };

/** Throws `client.not_found` for what the manifest does not declare, also for a path that has two readings. */
function checkTarget({ apis }: PoolRow, method: string, { api, target }: ApiRoute): void {
  const declared = apis?.find(({ name }) => name === api);
  const clean = cleanTarget(target);
  if (declared === undefined || clean === undefined) throw new AppError('client.not_found');
  if (declares(declared, method, clean.path)) return;
  const other = declared.methods.some((known) => declares(declared, known, clean.path));
  throw new AppError(other ? 'client.method_not_allowed' : 'client.not_found');
}

interface Attempting {
  readonly admission: Admission;
  readonly picked: Pick;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly route: ApiRoute;
  readonly active: ReturnType<typeof begin>;
  readonly identity: RequestIdentity;
  readonly trace: DecisionTrace;
  readonly taken: ReturnType<typeof noLimits>;
  readonly salt: string;
}

async function attempt(deps: RequestDeps, input: Attempting): Promise<ApiOutcome> {
  const { admission, picked, identity, trace, taken } = input;
  const { link, member } = picked.chosen;
  const startedMs = deps.clock.monotonicMs();
  const model = apiId(input.route.api);
  const tries = new TriedNode(link.stats, model, true, startedMs);
  const { requestId } = identity;
  const startMs = identity.atMs + startedMs - identity.startedMs;
  const { pool } = admission;
  const outcome = await callApi({
    ...input,
    link,
    takePlace: placeIn(deps.room, link, admission),
    clock: deps.clock,
    pool: member.pool,
    node: member.node,
    tableVersion: admission.table.version,
    requestId,
    traced: deps.spans?.trying({ requestId, askedModel: model, stream: true, model, pool, member, startMs }),
    onFirstByte() {
      const nowMs = deps.clock.monotonicMs();
      tries.firstByte(nowMs);
      trace.firstByteMs = nowMs - identity.startedMs;
      const retryMs = trace.triedMs;
      const gatewayMs = startedMs - identity.startedMs - retryMs;
      const timing = { gatewayMs, queueMs: 0, retryMs, nodeMs: nowMs - startedMs };
      const receipt = { [RECEIPT_SALT_HEADER]: input.salt };
      return { ...answerHeaders(identity, admission.pool, member, timing), ...receipt, ...taken.headers };
    },
  });
  const endedMs = deps.clock.monotonicMs();
  tries.ended(outcome.judgement, endedMs);
  const word = outcome.kind === 'answered' ? 'answered' : `${outcome.kind}: ${outcome.error.code}`;
  trace.attempted(picked, admission.table.version, startedMs, endedMs, word);
  return outcome;
}

/** One answer, of no tokens. */
function count(
  deps: RequestDeps,
  identity: RequestIdentity,
  { admission, picked, taken, route, outcome }: Counting,
): Promise<boolean> {
  const tokens = () => ({ promptTokens: 0, completionTokens: 0, estimated: false });
  // It is sent as the node sends it, both ways.
  const answer = { tokens, contentHash: () => null };
  const ended = outcome.kind === 'answered' ? outcome : ({ kind: 'interrupted', why: 'broke' } as const);
  const served = { admission, picked, answer, outcome: ended, continuedFrom: [], request: 'same' } as const;
  return account(deps, identity, apiId(route.api), served, outcome.status, taken);
}

interface Counting extends Omit<Attempting, 'request' | 'response' | 'active' | 'identity' | 'trace' | 'salt'> {
  readonly outcome: Exclude<ApiOutcome, { kind: 'unsent' }>;
}
