import type { OutputFor } from '@subcloud/sdk/client';
import { table } from './output.ts';

export function accountTable(accounts: readonly OutputFor<'getAccount'>[]): string {
  return table(
    ['account', 'kind', 'e-mail', 'name', 'network role', 'member of', 'disabled'],
    accounts.map((account) => [
      account.principal,
      account.kind,
      account.email,
      account.displayName,
      account.networkRole,
      account.groups.map(({ id, role }) => `${id} (${role})`).join(', '),
      account.disabled,
    ]),
  );
}
