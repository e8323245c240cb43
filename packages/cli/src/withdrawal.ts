import type { OutputFor } from '@subcloud/sdk/client';

type Withdrawal = OutputFor<'deleteSubcloud'>;

/** Whether a change is in force everywhere, as a sentence. */
export function withdrawalText(done: string, withdrawal: Withdrawal): string {
  if (withdrawal.complete) return `${done}; in force on every gateway.`;
  const waiting = withdrawal.outstanding.map(
    ({ gateway, leaseEndsAt }) => `  ${gateway}, at the latest ${leaseEndsAt}`,
  );
  return [`${done}; stored, and not yet confirmed by:`, ...waiting].join('\n');
}
