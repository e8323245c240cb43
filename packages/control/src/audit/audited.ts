/**
 * What a write route changes with. A handler gets no other way to write: its loop takes changes that say what the audit
 * log is to say of them, and the entry is part of the change's own transaction. So nothing is acknowledged without its
 * entry, and no entry stands there for what was not done.
 */
import type { Clock } from '@subcloud/kit/clock';
import type { Actor } from '../access/actor.ts';
import { actorName } from '../access/actor.ts';
import { roleOf } from '../access/authorise.ts';
import type { Change, Loop, Transaction } from '../loop.ts';
import { appendAudit } from './append.ts';

/** What a change was about. Nothing secret: no credential, no part or hash of one, nothing of prompts or answers. */
export interface Audited {
  /** `kind:id`. */
  readonly subject: string;
  /** Null: there was nothing. Equal to `after`: the request changed nothing. */
  readonly before: Readonly<Record<string, unknown>> | null;
  /** Null: there is nothing any more. */
  readonly after: Readonly<Record<string, unknown>> | null;
  /** Where the route takes no credential: who it turned out to be. */
  readonly actor?: { readonly name: string; readonly role: string };
}
export interface AuditedChange<Result> extends Change<Result> {
  readonly audit: Audited;
}

/** Of one request. */
export interface AuditedRequest {
  readonly requestId: string;
  readonly actor: Actor;
  readonly action: string;
  readonly reason: string | null;
  /** Runs first in the transaction of the change: what must hold for it. */
  readonly guard?: ((tx: Transaction) => Promise<void>) | undefined;
}

export interface WriteLoop extends Pick<Loop, 'world'> {
  change<Result>(
    work: (tx: Transaction) => Promise<AuditedChange<Result>>,
  ): Promise<{ readonly result: Result; readonly tableVersion: number }>;
}

/** `written` says whether a change of this request has been committed. */
export function auditedLoop(
  loop: Loop,
  clock: Clock,
  request: AuditedRequest,
): { readonly loop: WriteLoop; readonly written: () => boolean } {
  let written = false;
  return {
    written: () => written,
    loop: {
      world: loop.world,
      async change(work) {
        const done = await loop.change(async (tx) => {
          // Of a request that changes twice the first change is the one that was asked for.
          if (!written) await request.guard?.(tx);
          const change = await work(tx);
          await appendAudit(tx, entryOf(request, change.audit, clock.nowMs()));
          return change;
        });
        written = true;
        return done;
      },
    },
  };
}

function entryOf(request: AuditedRequest, audited: Audited, at: number) {
  const { requestId, actor, action, reason } = request;
  const { name, role } = audited.actor ?? { name: actorName(actor), role: roleOf(actor) };
  const { subject, before, after } = audited;
  return {
    at,
    requestId,
    actor: name,
    role,
    action,
    subject,
    outcome: 'done',
    code: null,
    reason,
    before,
    after,
  } as const;
}
