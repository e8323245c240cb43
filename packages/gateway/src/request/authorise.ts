/**
 * Which pool is this request for, and may this caller use it? Who may not gets the answer that a pool which does not
 * exist gets, to the byte, unless it may know of the pool anyway.
 */
import { AppError } from '@subcloud/contract/errors';
import type { CredentialRow, PoolRow } from '@subcloud/contract/table';
import type { PrincipalId } from '@subcloud/contract/vocabulary';
import { type CallerFacts, admits, mayKnowOf } from '../access/admission-rule.ts';
import { bindingOf } from '../access/binding.ts';
import type { RoutingTable } from '../table/routing-table.ts';
import type { PoolChoice } from './resolve-pool.ts';

const GLOBAL = 'global';
const NO_GROUPS: readonly PrincipalId[] = [];

export interface Access {
  readonly pool: PoolRow;
  readonly by: 'path' | 'host' | 'header' | 'binding' | 'token' | 'default';
}

/**
 * A bound caller uses its pool and no other: a name that is not the binding is refused with the same bytes whether or not
 * it exists, and so is a token of another pool. Throws AppError.
 */
export function authorise(
  table: RoutingTable,
  credential: CredentialRow,
  choice: PoolChoice,
  address: string | undefined,
): Access {
  const binding = bindingOf(table, credential);
  if (binding !== undefined) {
    const elsewhere = credential.kind === 'subcloud' ? credential.pool !== binding : false;
    if (elsewhere || (choice.name !== undefined && choice.name !== binding)) {
      throw new AppError('policy.bound_elsewhere');
    }
  }
  const name = choice.name ?? binding ?? credential.pool ?? GLOBAL;
  const pool = table.pools.get(name);
  if (pool === undefined) throw new AppError('client.not_found');
  const groups = table.principals.get(credential.principal)?.groups ?? NO_GROUPS;
  const caller: CallerFacts = { credential, groups, bound: binding === name, address };
  if (admits(pool, caller)) return { pool, by: byOf(choice, binding, credential) };
  throw new AppError(mayKnowOf(pool, caller) ? 'policy.access_denied' : 'client.not_found');
}

function byOf(choice: PoolChoice, binding: string | undefined, credential: CredentialRow): Access['by'] {
  if (choice.by !== undefined) return choice.by;
  if (binding !== undefined) return 'binding';
  return credential.pool === null ? 'default' : 'token';
}

/** Whether a caller sees why nodes were not eligible, and not only how many. */
export function seesPolicy(credential: CredentialRow, pool: PoolRow): boolean {
  return pool.owner === null || pool.owner === credential.principal;
}
