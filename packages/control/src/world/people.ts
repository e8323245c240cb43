/**
 * Who belongs to whom: organisations, teams, roles in them and in the network, and which Subclouds are delegated. What
 * rights follow from it is access/rights.ts's business alone.
 */
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Database } from '../store/database.ts';

export const MEMBER_ROLES = ['owner', 'admin', 'member', 'viewer'] as const;
export type MemberRole = (typeof MEMBER_ROLES)[number];
export const NETWORK_ROLES = ['admin', 'auditor'] as const;
export type NetworkRole = (typeof NETWORK_ROLES)[number];

export interface OrganisationRecord {
  readonly id: PrincipalId;
  readonly displayName: string | null;
  readonly createdAtMs: number;
  readonly members: Map<PrincipalId, MemberRole>;
}
export interface TeamRecord extends OrganisationRecord {
  readonly organisation: PrincipalId;
}

export interface AccountRecord {
  readonly kind: 'person' | 'service';
  /** Of a service account: whose it is. */
  readonly organisation: PrincipalId | null;
  readonly displayName: string | null;
  readonly disabled: boolean;
}

export interface People {
  /** Principals that the admin made by id alone are not among them. */
  readonly accounts: Map<PrincipalId, AccountRecord>;
  readonly organisations: Map<PrincipalId, OrganisationRecord>;
  readonly teams: Map<PrincipalId, TeamRecord>;
  readonly networkRoles: Map<PrincipalId, NetworkRole>;
  /** The other way round: a principal -> organisations and teams that it is a member of. */
  readonly groups: Map<PrincipalId, Set<PrincipalId>>;
  /** Subcloud id -> whom its owner lets manage it besides. */
  readonly delegates: Map<string, ReadonlySet<PrincipalId>>;
}

export function nobody(): People {
  return {
    accounts: new Map(),
    organisations: new Map(),
    teams: new Map(),
    networkRoles: new Map(),
    groups: new Map(),
    delegates: new Map(),
  };
}

export function groupRecord(people: People, id: PrincipalId): OrganisationRecord | TeamRecord | undefined {
  return people.organisations.get(id) ?? people.teams.get(id);
}

/** Makes a member, or gives it another role; undefined ends the membership. A group that is gone changes nothing. */
export function setMember(
  people: People,
  group: PrincipalId,
  principal: PrincipalId,
  role: MemberRole | undefined,
): void {
  const record = groupRecord(people, group);
  if (record === undefined) return;
  const groups = people.groups.get(principal) ?? new Set();
  if (role === undefined) {
    record.members.delete(principal);
    groups.delete(group);
  } else {
    record.members.set(principal, role);
    groups.add(group);
  }
  if (groups.size === 0) people.groups.delete(principal);
  else people.groups.set(principal, groups);
}

export async function loadPeople(db: Database): Promise<People> {
  const people = nobody();
  const accounts = await db
    .selectFrom('accounts')
    .select(['principal', 'kind', 'organisation', 'display_name', 'disabled_at'])
    .execute();
  for (const row of accounts) {
    people.accounts.set(row.principal as PrincipalId, {
      kind: row.kind as AccountRecord['kind'],
      organisation: row.organisation as PrincipalId | null,
      displayName: row.display_name,
      disabled: row.disabled_at !== null,
    });
  }
  const organisations = await db.selectFrom('organisations').select(['id', 'display_name', 'created_at']).execute();
  for (const { id, display_name, created_at } of organisations) {
    const record = { id: id as PrincipalId, displayName: display_name, createdAtMs: created_at, members: new Map() };
    people.organisations.set(record.id, record);
  }
  const teams = await db.selectFrom('teams').select(['id', 'organisation', 'display_name', 'created_at']).execute();
  for (const { id, organisation, display_name, created_at } of teams) {
    const record = { id: id as PrincipalId, displayName: display_name, createdAtMs: created_at, members: new Map() };
    people.teams.set(record.id, { ...record, organisation: organisation as PrincipalId });
  }
  const members = await db.selectFrom('group_members').select(['group_id', 'principal', 'role']).execute();
  for (const { group_id, principal, role } of members) {
    setMember(people, group_id as PrincipalId, principal as PrincipalId, role as MemberRole);
  }
  const roles = await db
    .selectFrom('principals')
    .select(['id', 'network_role'])
    .where('network_role', 'is not', null)
    .execute();
  for (const { id, network_role } of roles) people.networkRoles.set(id as PrincipalId, network_role as NetworkRole);
  for (const { subcloud_id, principal } of await db
    .selectFrom('subcloud_delegates')
    .select(['subcloud_id', 'principal'])
    .execute())
    people.delegates.set(
      subcloud_id,
      new Set([...(people.delegates.get(subcloud_id) ?? []), principal as PrincipalId]),
    );
  return people;
}

/** `org:ORG` of `team:ORG/ID`. */
export function organisationOf(team: PrincipalId): PrincipalId {
  return `org:${team.slice('team:'.length).split('/')[0] ?? ''}`;
}
