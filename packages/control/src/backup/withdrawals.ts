/**
 * What was withdrawn after a backup was made, by the audit log, and how it is withdrawn again in what was restored. An
 * entry that is not known here is not lost: it is told as one that somebody has to do again.
 */
import type pg from 'pg';
import type { MirroredEntry } from './audit-mirror.ts';

/** By kind of subject: how its row is ended. `$1` is the subject's id, `$2` when it was withdrawn, ms. */
const ENDINGS: Readonly<Record<string, string>> = {
  key: 'update account_keys set revoked_at = $2 where id = $1 and revoked_at is null',
  token: 'update subcloud_tokens set revoked_at = $2 where id = $1 and revoked_at is null',
  'join-token': 'update join_tokens set revoked_at = $2 where id = $1 and revoked_at is null',
  'gateway-token': 'update gateway_tokens set revoked_at = $2 where id = $1 and revoked_at is null',
  gateway: 'update gateways set removed_at = $2 where id = $1 and removed_at is null',
  account: 'update accounts set disabled_at = $2 where principal = $1 and disabled_at is null',
  claim: `update claims set revoked_at = $2, revoked_by = 'restore' where id = $1 and revoked_at is null`,
  attester: 'update attesters set revoked_at = $2 where name = $1 and revoked_at is null',
  node: 'update nodes set removed_at = $2 where id = $1 and removed_at is null',
  subcloud: `update subclouds set deleted_at = $2 where name = $1 and deleted_at is null and id <> 'global'`,
  invitation: `update invitations set answered_at = $2, answer = 'revoked', answered_by = 'restore' where id = $1 and answered_at is null`,
  member: `update memberships set state = 'removed', reason = 'removed before the restore', since = $2
    where subcloud_id || '/' || node_id = (select s.id || '/' || split_part($1, '/', 2) from subclouds s
      where s.name = split_part($1, '/', 1) and s.deleted_at is null) and state not in ('left', 'removed')`,
};
const WITHDRAWING = /\.(?:revoke|remove|delete|ban|end|refuse|deny|disable)$/;

export interface Replayed {
  /** Withdrawn again. */
  readonly withdrawn: readonly MirroredEntry[];
  /** Done after the backup and undone by the restore: somebody has to look at each. */
  readonly undone: readonly MirroredEntry[];
}

/** Inside the transaction of the restore. What did not exist when the backup was made needs no withdrawal. */
export async function withdrawAgain(client: pg.ClientBase, entries: readonly MirroredEntry[]): Promise<Replayed> {
  const withdrawn: MirroredEntry[] = [];
  const undone: MirroredEntry[] = [];
  for (const mirrored of entries) {
    const { action, subject, outcome, at } = mirrored.entry;
    if (outcome !== 'done') continue;
    const colon = subject.indexOf(':');
    const ending = WITHDRAWING.test(action) ? ENDINGS[subject.slice(0, colon)] : undefined;
    if (ending === undefined) undone.push(mirrored);
    else if (((await client.query(ending, [subject.slice(colon + 1), at])).rowCount ?? 0) > 0) withdrawn.push(mirrored);
  }
  return { withdrawn, undone };
}
