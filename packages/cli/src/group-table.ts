/** Organisations, teams and their members as tables. */
import type { OutputFor } from '@subcloud/sdk/client';
import { table } from './output.ts';

export function groupTable(groups: readonly OutputFor<'getOrg'>[]): string {
  return table(
    ['id', 'name', 'members', 'your role', 'made'],
    groups.map(({ id, displayName, members, role, createdAt }) => [id, displayName, members, role, createdAt]),
  );
}

export function groupMemberTable(members: OutputFor<'listOrgMembers'>['items']): string {
  return table(
    ['account', 'role', 'kind', 'name'],
    members.map(({ principal, role, kind, displayName }) => [principal, role, kind, displayName]),
  );
}
