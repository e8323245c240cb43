/**
 * May this caller use this pool? Who may not gets the answer that a pool which does not exist gets, to the byte, unless
 * it owns the pool and so knows of it anyway.
 */
import { AppError } from '@subcloud/contract/errors';
import type { CredentialRow, PoolRow } from '@subcloud/contract/table';
import type { RoutingTable } from '../table/routing-table.ts';
import type { PoolChoice } from './resolve-pool.ts';

const GLOBAL = 'global';

export interface Access {
  readonly pool: PoolRow;
  readonly by: 'path' | 'header' | 'token' | 'default';
}

export function authorise(table: RoutingTable, credential: CredentialRow, choice: PoolChoice): Access {
  const by = choice.by ?? (credential.pool === null ? 'default' : 'token');
  const name = choice.name ?? credential.pool ?? GLOBAL;
  const pool = table.pools.get(name);
  if (pool === undefined) throw new AppError('client.not_found');
  if (opens(credential, pool)) return { pool, by };
  const owns = pool.owner !== null && pool.owner === credential.principal;
  throw new AppError(owns ? 'policy.access_denied' : 'client.not_found');
}

function opens(credential: CredentialRow, pool: PoolRow): boolean {
  switch (credential.kind) {
    case 'subcloud':
      return credential.pool === pool.name;
    case 'account':
      return !pool.access.tokens;
  }
}

/** Whether a caller sees why nodes were not eligible, and not only how many. */
export function seesPolicy(credential: CredentialRow, pool: PoolRow): boolean {
  return pool.owner === null || pool.owner === credential.principal;
}
