/** Write routes as the audit log sees them: each with an entry, and refusals of known callers with one too. */
import { AppError, ERROR_CODES } from '@subcloud/contract/errors';
import type { RouteSpec } from '@subcloud/contract/routes/route';
import type { Clock } from '@subcloud/kit/clock';
import { actorName } from '../access/actor.ts';
import type { Loop } from '../loop.ts';
import { type Database, isStoreFault } from '../store/database.ts';
import { Replayed } from '../api/idempotency.ts';
import { appendAudit } from './append.ts';
import { type AuditedRequest, type WriteLoop, auditedLoop } from './audited.ts';
import { createRefusalBudget } from './refusal-budget.ts';

export function isWrite(spec: RouteSpec): boolean {
  return spec.method !== 'get' && spec.readOnly === undefined;
}

/** Runs the handler of a write route. */
export function auditedWrites({ db, loop, clock }: { db: Database; loop: Loop; clock: Clock }) {
  const budget = createRefusalBudget(clock);

  const refused = async (request: AuditedRequest, error: AppError, subject: string): Promise<void> => {
    const actor = actorName(request.actor);
    const unrecorded = budget.take(actor);
    if (unrecorded === undefined) return;
    const { requestId, action, reason } = request;
    const entry = {
      at: clock.nowMs(),
      requestId,
      actor,
      role: request.actor.kind,
      action,
      subject,
      outcome: 'refused',
      code: error.code,
      reason,
      before: null,
      after: unrecorded === 0 ? null : { refusalsNotRecorded: unrecorded },
    } as const;
    await db.transaction().execute((tx) => appendAudit(tx, entry));
  };

  return async <Output>(
    request: AuditedRequest,
    subject: string,
    handle: (loop: WriteLoop) => Output | Promise<Output>,
  ): Promise<Output> => {
    const audited = auditedLoop(loop, clock, request);
    let output: Output;
    try {
      output = await handle(audited.loop);
    } catch (error) {
      if (error instanceof AppError && !audited.written() && isRefusal(error)) {
        // The caller hears of its refusal also where the store is away.
        await refused(request, error, subject).catch((fault: unknown) => {
          if (!isStoreFault(fault)) throw fault;
        });
      }
      throw error;
    }
    // A repeated answer is that of a change that has its entry already.
    if (!audited.written() && !(output instanceof Replayed))
      throw new Error(`${request.action} has answered without a change for the audit log`);
    return output;
  };
}

/** Not a fault of form: somebody may not, or may not know. */
function isRefusal(error: AppError): boolean {
  const { status } = ERROR_CODES[error.code];
  return status === 403 || status === 404;
}
