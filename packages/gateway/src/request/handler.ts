/**
 * An inference request from its first byte to its last. This file is a table of contents: one call a stage, one file a
 * stage, in an order that tells nobody more than it must. The pool is only named before the caller is known; who the
 * caller is comes before whether the pool exists; the body is read only for those who may use the pool.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { MAX_BODY_BYTES, SANDBOX_HEADERS } from '@subcloud/contract/inference';
import type { PoolRow } from '@subcloud/contract/table';
import { nextTurn } from '@subcloud/kit/turns';
import { account } from './account.ts';
import type { ActiveRequest } from './active-requests.ts';
import { admit } from './admit.ts';
import { identityHeaders, poolHeaders } from './answer-headers.ts';
import { type Interruption, passableHeaders } from './attempt.ts';
import { credentialHash } from './authenticate.ts';
import { Cancellation } from './cancellation.ts';
import { clientAddress } from '../front/client-address.ts';
import { DecisionTrace } from './decision-trace.ts';
import { type RequestIdentity, identify } from './identify.ts';
import { operationOf } from '@subcloud/contract/operation';
import { type TakenLimits, noLimits } from './limit.ts';
import { type HeldBody, readBody } from './read-body.ts';
import { refuseUnsupported } from './refuse-unsupported.ts';
import type { RequestDeps } from './request-deps.ts';
import { resolvePool } from './resolve-pool.ts';
import { LARGE_BODY_BYTES, scanBody, scanLargeBody } from './scan-body.ts';
import { breakStream, sendError } from './send-error.ts';
import { type Served, serve } from './serve.ts';

export interface InferenceRoute {
  /** From `/s/NAME/…`. */
  readonly poolName: string | undefined;
  /** The path below it, one of the contract's. */
  readonly path: string;
}

export async function handleInference(
  deps: RequestDeps,
  request: IncomingMessage,
  response: ServerResponse,
  route: InferenceRoute,
): Promise<void> {
  const identity = identify(request, deps.clock);
  const trace = new DecisionTrace(identity, operationOf(route.path));
  deps.spans?.begun(request, identity, route.path);
  const active = begin(deps, identity, response);
  let pool: PoolRow | undefined;
  let held: HeldBody | undefined;
  const taken = noLimits();
  let sent: Served['answer']['sent'];
  try {
    if (deps.draining()) throw new AppError('platform.starting', { retryAfterS: 1 });
    const choice = resolvePool(request, route.poolName, deps.domain);
    const caller = { hash: credentialHash(request), choice, address: clientAddress(request), path: route.path };
    const admission = admit(deps.present, caller);
    active.credentialHash = caller.hash;
    deps.used(admission.credential.id, identity.atMs);
    trace.admitted(admission);
    pool = admission.pool;
    const limits = { maxBytes: MAX_BODY_BYTES, budget: deps.budget };
    held = await readBody(request, limits, active.cancellation);
    const isLarge = held.bytes.byteLength > LARGE_BODY_BYTES;
    const scanned = isLarge ? await scanLargeBody(held.bytes, nextTurn) : scanBody(held.bytes);
    trace.model = scanned.model;
    const { path } = route;
    const { accept } = request.headers;
    const poolId = admission.pool.id;
    if (deps.journal.refuses()) throw new AppError('platform.usage_not_writable', { retryAfterS: 1 });
    const input = { identity, caller, taken, poolId, path, accept, held, scanned, response, active, trace };
    const served = await serve(deps, input);
    sent = served.answer.sent;
    refuseUnsupported(path, served);
    await conclude(deps, identity, response, served, { trace, taken });
  } catch (error) {
    const appError = AppError.from(error);
    if (appError.code === 'platform.internal') deps.log.error({ err: error, requestId: identity.requestId }, 'fault');
    decide(deps, trace, appError.code, appError.status);
    // A body that is still coming is not waited for.
    if (!request.complete) response.shouldKeepAlive = false;
    const ofPool = pool === undefined ? {} : poolHeaders(pool);
    sendError(response, appError, { ...identityHeaders(identity), ...ofPool, ...taken.headers });
  } finally {
    if (taken.ticket !== undefined) deps.limiter.settle(taken.ticket, taken.usedTokens, deps.clock.monotonicMs());
    held?.release();
    sent?.release();
    deps.active.remove(active);
  }
}

export function begin(deps: RequestDeps, identity: RequestIdentity, response: ServerResponse): ActiveRequest {
  const active: ActiveRequest = {
    cancellation: new Cancellation(),
    deadlineMs: identity.startedMs + deps.bodyTimeoutMs,
    credentialHash: undefined,
    dispatched: undefined,
    waitsFor: 'the body',
  };
  deps.active.add(active);
  response.on('close', () => {
    if (!response.writableFinished) active.cancellation.cancel(new AppError('client.closed_request'));
  });
  return active;
}

/** Counts the answer, then ends it: whole, as a refusal in the engine's words, or visibly broken. */
async function conclude(
  deps: RequestDeps,
  identity: RequestIdentity,
  response: ServerResponse,
  served: Served,
  { trace, taken }: { readonly trace: DecisionTrace; readonly taken: TakenLimits },
): Promise<void> {
  const { outcome, answer, model } = served;
  switch (outcome.kind) {
    case 'refused': {
      decide(deps, trace, `engine ${outcome.status}`, outcome.status);
      const length = { 'content-length': String(outcome.body.byteLength) };
      response.writeHead(outcome.status, {
        ...served.headers,
        ...SANDBOX_HEADERS,
        ...passableHeaders(outcome.headers),
        ...length,
      });
      response.end(outcome.body);
      return;
    }
    case 'answered': {
      const status = answer.status ?? 200;
      const stored = await account(deps, identity, model, served, status, taken);
      decide(deps, trace, stored ? 'answered' : 'platform.usage_not_writable', status);
      if (stored) answer.finish();
      else breakOff(response, served, new AppError('platform.usage_not_writable'));
      return;
    }
    case 'interrupted':
    case 'aborted': {
      const error = outcome.kind === 'aborted' ? outcome.reason : interruption(outcome);
      if (!answer.begun) throw error;
      breakOff(response, served, error);
      await account(deps, identity, model, served, error.status, taken);
      decide(deps, trace, error.code, error.status);
    }
  }
}

function interruption({ why }: { readonly why: Interruption }): AppError {
  switch (why) {
    case 'withdrawn':
      return new AppError('upstream.withdrawn');
    case 'stalled':
      return new AppError('upstream.timeout', { message: 'The node fell silent in the middle of its answer.' });
    case 'broke':
      return new AppError('upstream.interrupted');
  }
}

function breakOff(response: ServerResponse, { answer }: Served, error: AppError): void {
  // To who reads nothing there is nothing to say.
  if (error.code === 'client.closed_request') return void response.destroy();
  answer.flush();
  if (answer.brokenEvent === undefined) response.destroy();
  else breakStream(response, error, answer.brokenEvent);
}

function decide(deps: RequestDeps, trace: DecisionTrace, outcome: string, status: number): void {
  deps.decided(trace.record(outcome, status, deps.clock.monotonicMs()), trace.operation);
}
