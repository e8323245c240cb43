/**
 * Where all traffic of a caller goes, if anywhere: the most specific of the bindings that it is under. A credential
 * comes before its account, an account before its teams, those before its organisations.
 */
import { AppError } from '@subcloud/contract/errors';
import type { CredentialRow } from '@subcloud/contract/table';
import type { PrincipalId } from '@subcloud/contract/vocabulary';
import type { RoutingTable } from '../table/routing-table.ts';

const ACCOUNT = 0;
const TEAM = 1;
const ORGANISATION = 2;
type Level = typeof ACCOUNT | typeof TEAM | typeof ORGANISATION;

/** Name of the pool; undefined: bound to none. Throws `policy.binding_conflict` where two at one level differ. */
export function bindingOf(table: RoutingTable, credential: CredentialRow): string | undefined {
  if (credential.binding !== undefined) return credential.binding;
  const own = table.principals.get(credential.principal);
  if (own === undefined) return undefined;
  let bound: { readonly level: Level; readonly pool: string } | undefined;
  let conflict = false;
  const consider = (id: PrincipalId, pool: string | undefined): void => {
    if (pool === undefined) return;
    const level = levelOf(id);
    if (bound === undefined || level < bound.level) {
      bound = { level, pool };
      conflict = false;
    } else if (level === bound.level && pool !== bound.pool) conflict = true;
  };
  consider(own.id, own.binding);
  for (const group of own.groups) consider(group, table.principals.get(group)?.binding);
  if (conflict) throw new AppError('policy.binding_conflict');
  return bound?.pool;
}

function levelOf(id: PrincipalId): Level {
  if (id.startsWith('team:')) return TEAM;
  return id.startsWith('org:') ? ORGANISATION : ACCOUNT;
}
