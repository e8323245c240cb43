/** Gathers why a request went where it went. Holds ids, counts and times; nothing of prompts, answers or secrets. */
import type { DecisionRecord } from '@subcloud/contract/watch';
import type { Pick } from '../schedule/pick.ts';
import type { Admission } from './admit.ts';
import type { RequestIdentity } from './identify.ts';
import type { Operation } from '@subcloud/contract/operation';

type AttemptRecord = DecisionRecord['attempts'][number];

const MAX_OUTCOME_CHARS = 64;

export class DecisionTrace {
  readonly #identity: RequestIdentity;
  readonly operation: Operation;
  readonly #attempts: AttemptRecord[] = [];
  #admission: Admission | undefined;
  #candidates = 0;
  model: string | null = null;
  firstByteMs: number | null = null;
  overLimit: readonly string[] = [];
  /** Undefined: it did not wait for a place. */
  queuedMs: number | undefined;

  constructor(identity: RequestIdentity, operation: Operation) {
    this.#identity = identity;
    this.operation = operation;
  }

  admitted(admission: Admission): void {
    this.#admission = admission;
  }

  /** How long the tries took that are over. */
  get triedMs(): number {
    return this.#attempts.reduce((sum, { startedAfterMs, endedAfterMs }) => sum + endedAfterMs - startedAfterMs, 0);
  }

  /** Once a pick; the sizes are those of the first. */
  picking(admission: Admission, candidates: number): void {
    this.#admission = admission;
    if (this.#attempts.length === 0) this.#candidates = candidates;
  }

  attempted(picked: Pick, tableVersion: number, startedMs: number, endedMs: number, outcome: string): void {
    const two = picked.other === undefined ? [picked.chosen] : [picked.chosen, picked.other];
    this.#attempts.push({
      node: picked.chosen.member.node,
      by: picked.by,
      tableVersion,
      considered: two.map(({ member, link }) => ({ node: member.node, inFlight: link.inFlight })),
      outcome,
      startedAfterMs: startedMs - this.#identity.startedMs,
      endedAfterMs: endedMs - this.#identity.startedMs,
    });
  }

  /** The last attempt went on with an answer of which so much text had been sent. */
  continued(afterBytes: number): void {
    const last = this.#attempts.pop();
    if (last !== undefined) this.#attempts.push({ ...last, continuesAfterBytes: afterBytes });
  }

  /** Nobody was asked to go on after the last attempt, and why. */
  notContinued(reason: string): void {
    this.#add(`not continued: ${reason}`);
  }

  /** Nobody was asked after the last attempt, though another one might have answered. */
  retriesSpent(): void {
    this.#add('retries of the pool are spent');
  }

  #add(word: string): void {
    const last = this.#attempts.pop();
    if (last === undefined) return;
    this.#attempts.push({ ...last, outcome: `${last.outcome}, ${word}`.slice(0, MAX_OUTCOME_CHARS) });
  }

  record(outcome: string, status: number, endedMs: number): DecisionRecord {
    const { requestId, clientRequestId, atMs, startedMs } = this.#identity;
    const admission = this.#admission;
    return {
      requestId,
      clientRequestId,
      atMs: Math.round(atMs),
      principal: admission?.credential.principal ?? null,
      pool: admission?.pool.name ?? null,
      poolBy: admission?.by ?? null,
      revision: admission?.pool.revision ?? null,
      effectiveHash: admission?.pool.effectiveHash ?? null,
      tableVersion: admission?.table.version ?? 0,
      model: this.model,
      candidates: this.#candidates,
      notTaken: admission?.pool.excluded ?? {},
      attempts: this.#attempts,
      ...(this.overLimit.length === 0 ? {} : { overLimit: [...this.overLimit] }),
      ...(this.queuedMs === undefined ? {} : { queuedMs: this.queuedMs }),
      outcome,
      status,
      firstByteMs: this.firstByteMs,
      durationMs: endedMs - startedMs,
    };
  }
}
