/** Which limits a request stands under: its token's, its caller's, and those of the whole pool. */
import type { CredentialRow, PoolRow } from '@subcloud/contract/table';
import type { LimitSet } from '@subcloud/contract/vocabulary';

export interface LimitedScope {
  readonly kind: 'token' | 'caller' | 'total';
  /** Of the counters. By name of the pool, as usage is: what a pool of the same name used before counts too. */
  readonly key: string;
  readonly limits: LimitSet;
  /** Counts, and refuses nothing. */
  readonly dryRun: boolean;
}

export function limitedScopes({ name, access }: PoolRow, credential: CredentialRow): readonly LimitedScope[] {
  const scopes: LimitedScope[] = [];
  if (credential.limits !== undefined)
    scopes.push({ kind: 'token', key: tokenKey(credential.id), limits: credential.limits, dryRun: false });
  if (access.limits === undefined) return scopes;
  const { total, dryRun = false, ...limits } = access.limits;
  if (Object.keys(limits).length > 0)
    scopes.push({ kind: 'caller', key: callerKey(name, credential.principal), limits, dryRun });
  if (total !== undefined) scopes.push({ kind: 'total', key: totalKey(name), limits: total, dryRun });
  return scopes;
}

export function tokenKey(credential: string): string {
  return `token ${credential}`;
}
export function callerKey(pool: string, principal: string): string {
  return `caller ${pool} ${principal}`;
}
export function totalKey(pool: string): string {
  return `total ${pool}`;
}
