/** What the table says of credentials and of those whom they act for. */
import { type CredentialRow, type PoolAccess, type PrincipalRow, rowKey } from '@subcloud/contract/table';
import type { AccessClause, BoundId } from '@subcloud/policy/access';
import type { PrincipalId } from '@subcloud/policy/principal';
import { activeBinding } from '../bindings/bindings.ts';
import { isBannedCaller } from '../world/bans.ts';
import { groupsOf } from '../world/groups.ts';
import type { World } from '../world/world.ts';
import type { PublishedTable } from './published-table.ts';

/** One object for each clause: the table compares and sends what has changed, and most passes change no access. Pure. */
export function poolAccess(clause: AccessClause): PoolAccess {
  const known = compiled.get(clause);
  if (known !== undefined) return known;
  const { require, tokens, whitelist, binding, limits } = clause;
  const access: PoolAccess = {
    ...(require === 'all' ? { require } : {}),
    tokens,
    ...(whitelist === undefined
      ? {}
      : {
          whitelist: {
            principals: [...whitelist.accounts, ...whitelist.teams, ...whitelist.orgs],
            cidrs: whitelist.cidrs,
          },
        }),
    ...(binding === undefined ? {} : { binding: true as const }),
    ...(limits === undefined ? {} : { limits }),
  };
  compiled.set(clause, access);
  return access;
}
const compiled = new WeakMap<AccessClause, PoolAccess>();

/** Undefined: it belongs to nobody and is not bound, so it needs no row. Pure. */
export function principalRow(world: World, id: PrincipalId): PrincipalRow | undefined {
  const groups = groupsOf(world, id);
  const binding = boundPool(world, id);
  if (groups.length === 0 && binding === undefined) return undefined;
  return { id, groups: [...groups].sort(), ...(binding === undefined ? {} : { binding }) };
}

/** Name of the pool that the principal or credential itself is bound to. */
function boundPool(world: World, bound: BoundId): string | undefined {
  const record = activeBinding(world, bound);
  return record === undefined ? undefined : world.subclouds.get(record.subcloudId)?.name;
}

function credentialRow(world: World, credential: CredentialRow): CredentialRow {
  const binding = boundPool(world, `token:${credential.id}`);
  return binding === undefined ? credential : { ...credential, binding };
}

/** After what `principalRow` reads of this principal has changed: what it belongs to, what it is bound to. */
export function stagePrincipal(world: World, table: PublishedTable, id: PrincipalId): void {
  table.stage('principal', rowKey.principal(id), principalRow(world, id));
}

/** After it has joined or left a group: a ban of that group is one of its members. */
export function stageGroupMember(world: World, table: PublishedTable, id: PrincipalId): void {
  stagePrincipal(world, table, id);
  if (world.bans.size === 0) return;
  for (const [hash, credential] of world.credentials)
    if (credential.principal === id)
      table.stage('credential', rowKey.credential(hash), withoutBanned(world, credentialRow(world, credential)));
}

/** After a credential was made, changed or (undefined) withdrawn: its row, and that of whom it acts for. */
export function stageCredential(
  world: World,
  table: PublishedTable,
  hash: string,
  credential: CredentialRow | undefined,
): void {
  const row = credential === undefined ? undefined : credentialRow(world, credential);
  table.stage('credential', rowKey.credential(hash), withoutBanned(world, row));
  if (row !== undefined) stagePrincipal(world, table, row.principal);
}

/** A credential of who is banned from the network opens nothing. Bans from one Subcloud stand in its pool's row. */
function withoutBanned(world: World, row: CredentialRow | undefined): CredentialRow | undefined {
  return row === undefined || isBannedCaller(world, row.principal) ? undefined : row;
}

/** All credentials and principals as rows, and none besides. */
export function stageAccess(world: World, table: PublishedTable): void {
  const principals = new Set([...world.credentials.values()].map(({ principal }) => principal));
  for (const { bound } of world.bindings.values())
    if (!bound.startsWith('token:')) principals.add(bound as PrincipalId);
  for (const key of table.rows.keys()) {
    if (key.startsWith('credential/') && !world.credentials.has(key.slice('credential/'.length)))
      table.stage('credential', key, undefined);
    if (key.startsWith('principal/')) principals.add(key.slice('principal/'.length) as PrincipalId);
  }
  for (const [hash, credential] of world.credentials)
    table.stage('credential', rowKey.credential(hash), withoutBanned(world, credentialRow(world, credential)));
  for (const id of principals) stagePrincipal(world, table, id);
}
