/**
 * What was withdrawn after a backup was made, by the audit log, and how it is withdrawn again in what was restored. An
 * entry that is not known here, or that finds nothing to end, is not lost: it is told as one that somebody has to do again.
 * Left out is only what came and went since, of which the backup knows nothing.
 */
import type { Action } from '@subcloud/contract/routes/actions';
import type pg from 'pg';
import type { MirroredEntry } from './audit-mirror.ts';

const membershipEnds = (state: 'left' | 'removed'): string =>
  `update memberships set state = '${state}', reason = '${state} before the restore', since = $2
   where subcloud_id || '/' || node_id = (select s.id || '/' || split_part($1, '/', 2) from subclouds s
     where s.name = split_part($1, '/', 1) and s.deleted_at is null) and state not in ('left', 'removed', 'banned')`;

/** Whoever leaves an organisation leaves its teams too: which, the entry says. */
const GROUP_ENDS = `delete from group_members where principal = regexp_replace($1, '^.*/', '')
  and group_id in (select jsonb_array_elements_text($3::jsonb -> 'groups'))`;

const bindingEnds = (state: 'ended' | 'declined'): string =>
  `update bindings set state = '${state}', since = $2, changed_by = 'restore' where id = $1 and state in ('offered', 'active')`;

/**
 * By action: how what it withdrew is ended. `$1` is the subject's id, `$2` when it was withdrawn (ms), `$3` what the entry
 * says was there before, `$4` what after. The first statement decides whether anything was ended.
 */
const ENDINGS: Readonly<Partial<Record<Action, readonly string[]>>> = {
  'key.revoke': ['update account_keys set revoked_at = $2 where id = $1 and revoked_at is null'],
  'token.revoke': ['update subcloud_tokens set revoked_at = $2 where id = $1 and revoked_at is null'],
  // The old secret was to end, and the new one is in no backup: nobody who may still has one that fits.
  'token.rotate': ['update subcloud_tokens set revoked_at = $2 where id = $1 and revoked_at is null'],
  'joinToken.revoke': ['update join_tokens set revoked_at = $2 where id = $1 and revoked_at is null'],
  'gatewayToken.revoke': ['update gateway_tokens set revoked_at = $2 where id = $1 and revoked_at is null'],
  'gateway.remove': ['update gateways set removed_at = $2 where id = $1 and removed_at is null'],
  'account.disable': [
    'update accounts set disabled_at = $2 where principal = $1 and disabled_at is null',
    'update principals set network_role = null where id = $1',
    'delete from group_members where principal = $1',
    'delete from subcloud_delegates where principal = $1',
    'update account_keys set revoked_at = $2 where principal = $1 and revoked_at is null',
    'update subcloud_tokens set revoked_at = $2 where principal = $1 and revoked_at is null',
  ],
  'claim.revoke': [`update claims set revoked_at = $2, revoked_by = 'restore' where id = $1 and revoked_at is null`],
  'attester.revoke': ['update attesters set revoked_at = $2 where name = $1 and revoked_at is null'],
  'node.remove': ['update nodes set removed_at = $2 where id = $1 and removed_at is null'],
  'node.drain': [
    // Of a node that was drained already, nothing changes: its drain is in force, and that is all the entry says.
    `update nodes set drained_at = coalesce(drained_at, $2), drained_by = coalesce(drained_by, 'restore'),
       drain_reason = case when drained_at is null then $4::jsonb ->> 'reason' else drain_reason end
     where id = $1 and removed_at is null and ($4::jsonb -> 'draining')::boolean`,
  ],
  // Only what was drained since: how it was at the time of the backup somebody has to look at.
  'node.undrain': [
    `update nodes set drained_at = null, drained_by = null, drain_reason = null where id = $1 and drained_by = 'restore'`,
  ],
  'subcloud.delete': [`update subclouds set deleted_at = $2 where name = $1 and deleted_at is null and id <> 'global'`],
  'invitation.revoke': [
    `update invitations set answered_at = $2, answer = 'revoked', answered_by = 'restore' where id = $1 and answered_at is null`,
  ],
  'org.remove': [GROUP_ENDS],
  'org.leave': [GROUP_ENDS],
  'member.remove': [membershipEnds('removed')],
  'member.deny': [membershipEnds('removed')],
  'member.ban': [
    `insert into bans (id, subcloud_id, kind, subject, reason, banned_by, at)
     select $1, s.id, $4::jsonb ->> 'kind', $4::jsonb ->> 'subject', $4::jsonb ->> 'reason', 'restore', $2::bigint
     from subclouds s where s.name = $4::jsonb ->> 'subcloud' and s.deleted_at is null
     on conflict do nothing`,
  ],
  'binding.end': [bindingEnds('ended')],
  'binding.decline': [bindingEnds('declined')],
};

/** The key that was in use at the time of the backup is to go: by the restore itself, since keys are in files. */
export const KEY_ROTATION: Action = 'signingKey.rotate';

export interface Replayed {
  /** Withdrawn again. */
  readonly withdrawn: readonly MirroredEntry[];
  /** Done after the backup and undone by the restore: somebody has to look at each. */
  readonly undone: readonly MirroredEntry[];
}

/** Inside the transaction of the restore, on rows of the newest schema. */
export async function withdrawAgain(client: pg.ClientBase, entries: readonly MirroredEntry[]): Promise<Replayed> {
  const withdrawn: MirroredEntry[] = [];
  const undone: MirroredEntry[] = [];
  const made = new Set<string>();
  for (const mirrored of entries) {
    const { action, subject, outcome, before } = mirrored.entry;
    if (outcome !== 'done') continue;
    if (before === null) made.add(subject);
    if (action === KEY_ROTATION || (await endAgain(client, mirrored))) withdrawn.push(mirrored);
    else if (action === 'member.unban') undone.push(...(await liftAgain(client, mirrored, made)));
    else if (before === null || !made.has(subject) || ENDINGS[action as Action] === undefined) undone.push(mirrored);
  }
  return { withdrawn, undone };
}

async function endAgain(client: pg.ClientBase, { entry }: MirroredEntry): Promise<boolean> {
  const [first, ...more] = ENDINGS[entry.action as Action] ?? [];
  if (first === undefined) return false;
  const given = [idOf(entry.subject), entry.at, JSON.stringify(entry.before), JSON.stringify(entry.after)];
  const run = async (sql: string): Promise<number> => {
    // PostgreSQL wants to know the type of each value that it is given: only those that the statement names.
    const used = given.map((_, index) => index + 1).filter((number) => sql.includes(`$${number}`));
    const numbered = used.reduce((text, number, index) => text.replaceAll(`$${number}`, `$${index + 1}`), sql);
    const { rowCount } = await client.query(
      numbered,
      used.map((number) => given[number - 1]),
    );
    return rowCount ?? 0;
  };
  const ended = await run(first);
  for (const sql of more) await run(sql);
  return ended > 0;
}

/** A ban that was made and lifted since is lifted again; one that is older stays in force, and that is told. */
async function liftAgain(client: pg.ClientBase, mirrored: MirroredEntry, made: ReadonlySet<string>) {
  const { subject, at } = mirrored.entry;
  if (!made.has(subject)) return [mirrored];
  await client.query(`update bans set lifted_at = $2, lifted_by = 'restore' where id = $1`, [idOf(subject), at]);
  return [];
}

function idOf(subject: string): string {
  return subject.slice(subject.indexOf(':') + 1);
}
