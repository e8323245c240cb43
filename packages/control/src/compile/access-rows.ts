/** What the table says of credentials and of those whom they act for. */
import { type CredentialRow, type PrincipalRow, rowKey } from '@subcloud/contract/table';
import type { PrincipalId } from '@subcloud/policy/principal';
import { groupsOf } from '../world/groups.ts';
import type { World } from '../world/world.ts';
import type { PublishedTable } from './published-table.ts';

/** Undefined: it belongs to nobody and is not bound, so it needs no row. Pure. */
export function principalRow(world: World, id: PrincipalId): PrincipalRow | undefined {
  const groups = groupsOf(world, id);
  return groups.length === 0 ? undefined : { id, groups: [...groups].sort() };
}

/** After what `principalRow` reads of this principal has changed. */
export function stagePrincipal(world: World, table: PublishedTable, id: PrincipalId): void {
  table.stage('principal', rowKey.principal(id), principalRow(world, id));
}

/** After a credential was made, changed or (undefined) withdrawn: its row, and that of whom it acts for. */
export function stageCredential(
  world: World,
  table: PublishedTable,
  hash: string,
  row: CredentialRow | undefined,
): void {
  table.stage('credential', rowKey.credential(hash), row);
  if (row !== undefined) stagePrincipal(world, table, row.principal);
}

/** All credentials and principals as rows, and none besides. */
export function stageAccess(world: World, table: PublishedTable): void {
  const principals = new Set([...world.credentials.values()].map(({ principal }) => principal));
  for (const key of table.rows.keys()) {
    if (key.startsWith('credential/') && !world.credentials.has(key.slice('credential/'.length)))
      table.stage('credential', key, undefined);
    if (key.startsWith('principal/')) principals.add(key.slice('principal/'.length) as PrincipalId);
  }
  for (const [hash, row] of world.credentials) table.stage('credential', rowKey.credential(hash), row);
  for (const id of principals) stagePrincipal(world, table, id);
}
