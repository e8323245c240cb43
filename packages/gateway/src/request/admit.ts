import { AppError } from '@subcloud/contract/errors';
import type { CredentialRow } from '@subcloud/contract/table';
import type { RoutingTable } from '../table/routing-table.ts';
import { requireScope } from '../access/narrowed.ts';
import { authenticate } from './authenticate.ts';
import { type Access, authorise } from './authorise.ts';
import type { PoolChoice } from './resolve-pool.ts';
import type { Present } from './request-deps.ts';

/** What a request says of its caller; fixed for as long as it lasts. */
export interface Caller {
  readonly hash: string;
  readonly choice: PoolChoice;
  /** Undefined where it is not known. */
  readonly address: string | undefined;
  /** One of the contract's, without a pool in front. */
  readonly path: string;
}

export interface Admission extends Access {
  readonly table: RoutingTable;
  readonly credential: CredentialRow;
}

/**
 * Lease, credential and access by the table of this moment: asked when a request comes in, and again at every pick, so
 * that nothing is served by a rule that no longer holds. Throws AppError.
 */
export function admit(present: Present, { hash, choice, address, path }: Caller): Admission {
  if (!present.live()) throw new AppError('platform.table_stale', { retryAfterS: 1 });
  const table = present.table();
  const credential = authenticate(table, hash, present.controlNowMs());
  requireScope(credential, path);
  return { table, credential, ...authorise(table, credential, choice, address) };
}
