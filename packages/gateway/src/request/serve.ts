/**
 * Picks a node and dispatches to it; before the first byte, at most so many more as the pool's revision says. After it
 * the same loop goes on with a broken stream where the pool wants that (../continuation). Lease, credential, access and
 * membership are asked again at every pick, on the table of that moment, and nothing is awaited between that and the
 * dispatch.
 */
import type { ServerResponse } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { MAX_RETRIED_BODY_BYTES } from '@subcloud/contract/inference';
import { LINK_HEADERS } from '@subcloud/contract/link';
import { RECEIPT_SALT_HEADER, type ReceiptFields } from '@subcloud/contract/receipts';
import type { MemberRow, PoolRow } from '@subcloud/contract/table';
import type { Random } from '@subcloud/kit/clock';
import { hashBytes, pickByAffinity } from '../schedule/affinity.ts';
import type { PickView } from '../schedule/filter.ts';
import { TriedNode } from '../schedule/node-stats.ts';
import { mayUseModel } from '../access/narrowed.ts';
import { type Pick, isBusy, pick } from '../schedule/pick.ts';
import { pickSorted } from '../schedule/pick-sorted.ts';
import { membersServing } from '../table/routing-table.ts';
import { placeIn } from '../capacity/places.ts';
import type { ActiveRequest } from './active-requests.ts';
import { type Admission, type Caller, admit } from './admit.ts';
import { Answer } from './answer.ts';
import { type AttemptOutcome, type Refusal, attempt } from './attempt.ts';
import { answerHeaders } from './answer-headers.ts';
import { Cancellation } from './cancellation.ts';
import type { DecisionTrace } from './decision-trace.ts';
import type { RequestIdentity } from './identify.ts';
import {
  type Continued,
  MAX_UNABLE_NODES,
  endIfFinished,
  goOn,
  isRest,
  keepSentText,
} from '../continuation/midstream.ts';
import { cannotContinue, endedEngine, judgeOutcome, saysFull } from './judge-outcome.ts';
import { isRace } from './node-verdict.ts';
import { noEligibleNode } from './no-eligible-node.ts';
import { headersIn, timingOf } from './node-headers.ts';
import type { HeldBody } from './read-body.ts';
import { type TakenLimits, takeLimits } from './limit.ts';
import { keepWaiting } from './patience.ts';
import { unwantedBy } from './preferences.ts';
import { pseudonymOf } from './pseudonym.ts';
import { newSalt, receivedBody } from './receipt-hashes.ts';
import type { RequestDeps } from './request-deps.ts';
import { type ScannedBody, withModel } from './scan-body.ts';
import { type Busy, type Line, classOf, isShed, leaveLine, waitForPlace } from './wait-for-place.ts';

/** Where the pool does not say. */
const MAX_RETRIES = 2;
const LOOK_AGAIN = 'look again';
/** How paths end whose answers have tokens. */
const GENERATING = '/completions';
/** So many engines that ended over one request are enough to suspect it. */
const MAX_ENDED_ENGINES = 2;

export interface ServeInput {
  readonly identity: RequestIdentity;
  readonly caller: Caller;
  readonly taken: TakenLimits;
  /** Of the pool that the request was admitted to: a new one of the same name is another. */
  readonly poolId: string;
  readonly path: string;
  readonly accept: string | undefined;
  readonly held: HeldBody;
  readonly scanned: ScannedBody;
  readonly response: ServerResponse;
  readonly active: ActiveRequest;
  readonly trace: DecisionTrace;
}

export interface Served {
  readonly admission: Admission;
  readonly picked: Pick;
  /** Network id, whatever name the caller used. */
  readonly model: string;
  readonly answer: Answer;
  readonly outcome: Exclude<AttemptOutcome, { kind: 'failed' }>;
  readonly headers: Readonly<Record<string, string>>;
  /** Nodes that answered parts of it before the one that was picked last. */
  readonly continuedFrom: readonly string[];
  /** For the receipt: the caller's body, as far as the node was sent another. */
  readonly request: ReceiptFields['request'];
}

/** Throws AppError where nothing was sent yet and nothing will be. */
export async function serve(deps: RequestDeps, input: ServeInput): Promise<Served> {
  const line: Line = { visit: undefined, waitedMs: 0 };
  try {
    return await serveInLine(deps, input, line);
  } finally {
    leaveLine(line);
  }
}

async function serveInLine(deps: RequestDeps, input: ServeInput, line: Line): Promise<Served> {
  const { active, path } = input;
  let { scanned } = input;
  const tried: string[] = [];
  const salt = newSalt();
  const { hidesUsage, byteLength: promptBytes } = scanned;
  const answer = new Answer(input.response, { hidesUsage, promptBytes, salt });
  const mayRetry = scanned.byteLength <= MAX_RETRIED_BODY_BYTES;
  let refused: Served | undefined;
  /** Of the node that broke off last. */
  let broken: Served | undefined;
  let continued: Continued | undefined;
  const continuedFrom: string[] = [];
  let ended = 0;
  let retryMs = 0;
  let unable = 0;
  let next: NextTry = 'first';
  active.waitsFor = 'a node';
  for (;;) {
    const found = chooseOrEnd(deps, input, { line, tried, broken, next });
    const waits = found !== undefined && 'className' in found;
    const chosen = waits ? await waitOrEnd(deps, input, found, { line, tried, broken, next }) : found;
    if (chosen === LOOK_AGAIN) continue;
    if (chosen === undefined) break;
    if (chosen.outcome !== undefined) return chosen;
    next = 'free';
    const { admission, picked, model } = chosen;
    const { node } = picked.chosen.member;
    if (model !== scanned.model) scanned = withModel(input.scanned, model);
    if (broken === undefined) answer.sent = keepSentText(admission.pool, path, scanned, deps.budget, answer.parts);
    const cut = new Cancellation();
    active.dispatched = { pool: admission.pool.name, node, cut };
    const startedMs = deps.clock.monotonicMs();
    const { link } = picked.chosen;
    const tries = new TriedNode(link.stats, model, scanned.stream, startedMs);
    const going = continued;
    const body = going?.scanned ?? scanned;
    let headers: Record<string, string> = { ...broken?.headers };
    keepWaiting(active, 'a node', admission.pool, startedMs);
    const attempting = attempt({
      link,
      headers: headersIn(deps, input, chosen, { body, going, salt, startedMs }),
      body: body.pieces,
      takePlace: placeIn(deps.room, link, admission),
      response: input.response,
      answer,
      clock: deps.clock,
      cancellation: active.cancellation,
      cut,
      onProgress: (waitsFor) => keepWaiting(active, waitsFor, admission.pool, deps.clock.monotonicMs()),
      continues: going === undefined ? undefined : (head) => isRest(going, head),
      onFirstByte: (status, engine) => {
        const nowMs = deps.clock.monotonicMs();
        tries.firstByte(nowMs);
        if (answer.sent !== undefined) answer.parts.begin(pseudonymOf(admission.pool, picked.chosen.member));
        if (going !== undefined) return answer.resume(going.again);
        if (answer.sent === undefined) input.held.release();
        input.trace.firstByteMs = nowMs - input.identity.startedMs;
        const timing = timingOf(input, { startedMs, nowMs, queueMs: line.waitedMs, retryMs });
        headers = answerHeaders(input.identity, admission.pool, picked.chosen.member, timing);
        headers[RECEIPT_SALT_HEADER] = salt;
        Object.assign(headers, input.taken.headers);
        answer.begin(status, engine, headers);
      },
    });
    leaveLine(line);
    const outcome = await attempting;
    active.dispatched = undefined;
    // Whoever was waited for until now is not what comes next: a try that was cut as it stalled leaves its deadline passed.
    const endedMs = deps.clock.monotonicMs();
    keepWaiting(active, 'a node', admission.pool, endedMs);
    retryMs += endedMs - startedMs;
    const isServed = !path.endsWith(GENERATING) || answer.saidSomething;
    tries.ended(answer.sent?.diverged === true ? 'unjudged' : judgeOutcome(outcome, link, isServed), endedMs);
    const { version } = admission.table;
    input.trace.attempted(picked, version, startedMs, endedMs, wordOf(outcome, version));
    if (going !== undefined) input.trace.continued(answer.sent?.bytesBefore ?? 0);
    const request = receivedBody(input.scanned.source.bytes, body.pieces, salt);
    if (outcome.kind === 'refused') {
      if (outcome.verdict === 'lock') reportLock(deps, { ...input, scanned }, admission, picked, outcome);
      if (broken === undefined) {
        headers = { ...answerHeaders(input.identity, admission.pool, picked.chosen.member), ...input.taken.headers };
        const served = { admission, picked, model, answer, outcome, headers, continuedFrom, request };
        if (outcome.verdict === 'pass') return served;
        if (outcome.verdict === 'retry') refused = served;
      }
    } else if (outcome.kind !== 'failed') {
      const served = { admission, picked, model, answer, outcome, headers, continuedFrom, request };
      if (outcome.kind !== 'interrupted' || outcome.why === 'withdrawn' || answer.sent === undefined) return served;
      if (endIfFinished(answer)) return { ...served, outcome: { kind: 'answered' } };
      broken = served;
    }
    // Another gateway's requests are there: whoever may wait asks it again, and has not failed.
    if (saysFull(outcome) && admission.pool.routing?.queue !== undefined) {
      link.stats.saidFull(model, deps.clock.monotonicMs());
      refused = undefined;
      continue;
    }
    tried.push(node);
    if (cannotContinue(outcome) && (unable += 1) <= MAX_UNABLE_NODES) continue;
    if (endedEngine(outcome)) ended += 1;
    if (ended >= MAX_ENDED_ENGINES) return endOrThrow(broken, new AppError('upstream.suspect_request'));
    if (!mayRetry || tried.length - unable > (admission.pool.routing?.retries ?? MAX_RETRIES)) break;
    next = 'further';
    if (outcome.kind !== 'interrupted' || broken === undefined || answer.sent === undefined) continue;
    const rest = await goOn(answer, answer.sent, scanned, path);
    if (rest === undefined) return { ...broken, outcome: { kind: 'answered' } };
    if (rest.kind === 'refused') {
      input.trace.notContinued(rest.reason);
      return broken;
    }
    continued = rest;
    continuedFrom.push(node);
  }
  if (broken !== undefined) return broken;
  if (refused !== undefined) return refused;
  throw new AppError('upstream.failed');
}

/** What of an answer went out stays out: it then ends visibly broken, with this reason. */
function endOrThrow(broken: Served | undefined, reason: AppError): Served {
  if (broken === undefined) throw reason;
  return { ...broken, outcome: { kind: 'aborted', reason } };
}

/** What a try is to the pool's budget: `free` where a node has said that it has no place, or cannot go on. */
type NextTry = 'first' | 'further' | 'free';

interface Standing {
  readonly line: Line;
  readonly tried: readonly string[];
  readonly broken: Served | undefined;
  readonly next: NextTry;
}

/** What is dispatched is chosen in the same turn: nothing here waits. */
function chooseOrEnd(deps: RequestDeps, input: ServeInput, standing: Standing): Choice | Busy | Served | undefined {
  try {
    return choose(deps, input, standing);
  } catch (error) {
    return endOrThrow(standing.broken, AppError.from(error));
  }
}

/** Undefined where a request that has failed at a node is not to wait for another: it ends by that failure. */
async function waitOrEnd(
  deps: RequestDeps,
  input: ServeInput,
  busy: Busy,
  { line, tried, broken }: Standing,
): Promise<typeof LOOK_AGAIN | Served | undefined> {
  try {
    await waitForPlace(deps, input, busy, line);
    return LOOK_AGAIN;
  } catch (error) {
    if (tried.length > 0 && isShed(error)) return undefined;
    return endOrThrow(broken, AppError.from(error));
  }
}

export interface Choice {
  /** Of what has ended: never of what is chosen. */
  readonly outcome?: undefined;
  readonly admission: Admission;
  readonly picked: Pick;
  readonly model: string;
}

/** Undefined where every node that may serve has failed already, or the pool has no further try left. */
function choose(
  deps: RequestDeps,
  input: ServeInput,
  { line: { visit }, tried, next }: Standing,
): Choice | Busy | undefined {
  const { present, clock } = deps;
  const admission = admit(present, input.caller);
  const { table, pool, credential } = admission;
  if (pool.id !== input.poolId) throw new AppError('client.not_found');
  const model = networkId(pool, input.scanned.model);
  input.trace.model = model;
  if (!mayUseModel(credential, [input.scanned.model, model])) {
    throw new AppError('policy.model_denied', { param: 'model' });
  }
  const view = {
    nodes: table.nodes,
    links: present.links,
    controlNowMs: present.controlNowMs(),
    monotonicMs: clock.monotonicMs(),
    tried,
    model,
    stream: input.scanned.stream,
    inputs: input.scanned.inputs,
    reserves: deps.reserves.of(table, present.links, clock.monotonicMs()),
    unwanted: unwantedBy(input.scanned.preferences, pool, {
      model,
      nowMs: clock.monotonicMs(),
      controlNowMs: present.controlNowMs(),
    }),
  };
  const members = membersServing(table, pool.name, model);
  input.trace.picking(admission, members.length);
  const className = classOf(model, input, tried);
  const picked =
    visit === undefined && deps.room.mustWait(pool.name, className)
      ? undefined
      : pickFrom(members, view, pool, input.scanned, deps.random);
  if (picked === undefined) {
    if (isBusy(members, view)) return { admission, className };
    if (tried.length > 0) return undefined;
    throw noEligibleNode(table, pool, credential, model, view);
  }
  takeLimits(deps, input, admission);
  if (next === 'first') deps.retries.sent(pool.name, clock.monotonicMs());
  else if (next === 'further' && !deps.retries.take(pool.name, clock.monotonicMs())) {
    input.trace.retriesSpent();
    return undefined;
  }
  input.trace.overLimit = input.taken.ticket?.over ?? [];
  deps.observe?.onDispatch?.({
    requestId: input.identity.requestId,
    pool: pool.name,
    model,
    node: picked.chosen.member.node,
    tableVersion: table.version,
  });
  return { admission, picked, model };
}

/** By what the caller asks for, else by the pool's objective. */
function pickFrom(
  members: readonly MemberRow[],
  view: PickView,
  { routing }: PoolRow,
  { preferences, beginning }: ScannedBody,
  random: Random,
): Pick | undefined {
  if (preferences.sort !== undefined) return pickSorted(members, view, random, preferences.sort);
  const drawn = pick(members, view, random);
  if (drawn === undefined || routing?.objective !== 'affinity' || beginning === undefined) return drawn;
  return pickByAffinity(members, hashBytes(beginning), view, drawn);
}

/** An alias of the pool's revision in force, or the id itself. */
function networkId({ aliases }: PoolRow, name: string): string {
  return aliases !== undefined && Object.hasOwn(aliases, name) ? (aliases[name] ?? name) : name;
}

function reportLock(deps: RequestDeps, input: ServeInput, admission: Admission, picked: Pick, refusal: Refusal): void {
  const tableVersion = admission.table.version;
  if (isRace(refusal.headers[LINK_HEADERS.document], tableVersion)) return;
  const { node, pool } = picked.chosen.member;
  const { requestId } = input.identity;
  deps.log.warn({ node, pool, requestId, tableVersion }, 'a node refused a pool or model that the table gives it');
  deps.report({ type: 'lock-refusal', node, pool, model: input.scanned.model, tableVersion, requestId });
}

function wordOf(outcome: AttemptOutcome, tableVersion: number): string {
  switch (outcome.kind) {
    case 'answered':
      return outcome.kind;
    case 'interrupted':
      return outcome.why === 'stalled' ? 'stalled' : outcome.kind;
    case 'aborted':
      return outcome.reason.code;
    case 'failed':
      return `failed: ${outcome.reason}`;
    case 'refused':
      if (outcome.verdict !== 'lock') return `refused: ${outcome.status}`;
      return isRace(outcome.headers[LINK_HEADERS.document], tableVersion) ? 'race' : 'lock-refusal';
  }
}
