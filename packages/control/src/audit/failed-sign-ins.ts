/**
 * Sign-ins that failed, in the audit log: whose account was tried, as far as there is one, and from where. Nothing that
 * was typed stands there, since people type passwords where names belong. The same is written for accounts that exist and
 * that do not, so the time that it takes tells nothing; and so few a minute over all of them that nobody fills the disk.
 */
import { type Clock, newId } from '@subcloud/kit/clock';
import type { PrincipalId } from '@subcloud/policy/principal';
import { addressBlock } from '../identity/attempt-limits.ts';
import { type Database, isStoreFault } from '../store/database.ts';
import { appendAudit } from './append.ts';
import { createRefusalBudget } from './refusal-budget.ts';

export interface FailedSignIn {
  /** Undefined: there is no such account. */
  readonly principal: PrincipalId | undefined;
  readonly address: string;
  readonly code: 'client.unauthenticated' | 'client.too_many_attempts';
}

/** Whoever they come from, they share one budget: addresses are cheap. */
const ALL = 'sign-in';

export function failedSignIns(
  db: Pick<Database, 'transaction'>,
  clock: Clock,
): (failed: FailedSignIn) => Promise<void> {
  const budget = createRefusalBudget(clock);
  return async ({ principal, address, code }) => {
    const unrecorded = budget.take(ALL);
    if (unrecorded === undefined) return;
    const entry = {
      at: clock.nowMs(),
      requestId: newId('req'),
      actor: 'anonymous',
      role: 'anonymous',
      action: 'account.signIn',
      subject: `account:${principal ?? 'none'}`,
      outcome: 'refused',
      code,
      reason: null,
      before: null,
      after: { from: addressBlock(address), ...(unrecorded === 0 ? {} : { refusalsNotRecorded: unrecorded }) },
    } as const;
    await db
      .transaction()
      .execute((tx) => appendAudit(tx, entry))
      .catch((fault: unknown) => {
        // Who is refused hears of it also where the store is away.
        if (!isStoreFault(fault)) throw fault;
      });
  };
}
