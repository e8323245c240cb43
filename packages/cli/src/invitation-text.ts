import type { OutputFor } from '@subcloud/sdk/client';
import { fields, table } from './output.ts';

export function invitationText(made: OutputFor<'createInvitation'>, url: string): string {
  return [
    fields([
      ['id', made.id],
      ['to', made.principal ?? made.email],
      ['into', `${made.group ?? 'the network'}${made.role === null ? '' : ` as ${made.role}`}`],
      ['expires', made.expiresAt],
    ]),
    '',
    'Send this link to whom it is for; whoever opens it can accept (it is shown this once):',
    `  ${url}${made.path}`,
  ].join('\n');
}

export function invitationTable(items: OutputFor<'listInvitations'>['items']): string {
  return table(
    ['id', 'to', 'into', 'role', 'from', 'expires', 'state'],
    items.map((item) => [
      item.id,
      item.principal ?? item.email,
      item.group ?? 'the network',
      item.role ?? item.networkRole,
      item.invitedBy,
      item.expiresAt,
      item.state,
    ]),
  );
}
