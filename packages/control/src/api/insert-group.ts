/** The rows of an organisation or team beside its principal: without them nobody could be made a member of it. */
import { AppError } from '@subcloud/contract/errors';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Transaction } from '../loop.ts';
import { type People, organisationOf } from '../world/people.ts';

/**
 * Inserts what the id implies: an organisation, or a team and the organisation that it is in. Returns the same for the
 * world; undefined for an account. Throws client.conflict for a team of an organisation that does not exist.
 */
export async function insertGroup(
  tx: Transaction,
  id: PrincipalId,
  createdBy: string,
  nowMs: number,
  displayName: string | null = null,
): Promise<((people: People) => void) | undefined> {
  if (id.startsWith('user:')) return undefined;
  const row = { id, display_name: displayName, created_at: nowMs, created_by: createdBy };
  const record = { id, displayName, createdAtMs: nowMs };
  if (id.startsWith('org:')) {
    await tx.insertInto('organisations').values(row).execute();
    return (people) => void people.organisations.set(id, { ...record, members: new Map() });
  }
  const organisation = organisationOf(id);
  const found = await tx.selectFrom('organisations').select('id').where('id', '=', organisation).executeTakeFirst();
  if (found === undefined)
    throw new AppError('client.conflict', { message: `There is no ${organisation}, which ${id} would be a team of.` });
  await tx
    .insertInto('teams')
    .values({ ...row, organisation })
    .execute();
  return (people) => void people.teams.set(id, { ...record, organisation, members: new Map() });
}
