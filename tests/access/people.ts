/** People, and what they are to the things of one owner, declared by hand: what the table of rights is compared with. */
import type { Resource } from '@subcloud/control/access/roles-of';
import type { Role } from '@subcloud/control/access/rights';

export type About = Resource['kind'];
export const OWNERS = ['org:acme', 'team:acme/ml'] as const;
export type Owner = (typeof OWNERS)[number];

export interface Person {
  readonly name: string;
  /** Undefined: not a principal. */
  readonly principal?: `user:${string}` | `org:${string}` | `team:${string}`;
  /** Roles besides those that everybody with a credential has, by the owner of the thing and its kind. */
  readonly roles: (owner: Owner, about: About) => readonly Role[];
}

const of = (name: string, roles: Person['roles'], principal = `user:${name}` as const): Person => ({
  name,
  principal,
  roles,
});

/** Whoever may read nodes of the operator is its operator to claims about them. */
function member(team: boolean, role: 'Owner' | 'Admin' | 'Member' | 'Viewer'): Person {
  const name = `${team ? 'team' : 'org'}-${role.toLowerCase()}`;
  return of(name, (owner) => {
    if (team) return owner === 'team:acme/ml' ? [`team${role}`] : [];
    if (owner === 'org:acme') return [`org${role}`];
    // Who runs the organisation runs its teams.
    return role === 'Owner' || role === 'Admin' ? [`team${role}`] : [];
  });
}

export const PEOPLE: readonly Person[] = [
  { name: 'anonymous', roles: () => [] },
  of('stranger', () => []),
  ...OWNERS.map((principal) => ({
    name: `key-of-${principal.replace(/[:/]/g, '-')}`,
    principal,
    roles: (owner: Owner, about: About): readonly Role[] => {
      if (owner !== principal) return [];
      return about === 'subcloud' || about === 'request'
        ? ['subcloudOwner']
        : about === 'node'
          ? ['nodeOperator']
          : ['self'];
    },
  })),
  ...(['Owner', 'Admin', 'Member', 'Viewer'] as const).flatMap((role) => [member(false, role), member(true, role)]),
  of('operator', (_owner, about) => (about === 'subcloud' ? ['nodeOperator'] : [])),
  of('host', (_owner, about) => (about === 'node' ? ['subcloudOwner'] : [])),
  of('delegate', (_owner, about) => (about === 'subcloud' || about === 'request' ? ['delegate'] : [])),
  of('sender', (_owner, about) => (about === 'request' ? ['self'] : [])),
  { name: 'admin-token', roles: () => ['networkAdmin'] },
  of('network-admin', () => ['networkAdmin']),
  of('auditor', () => ['auditor']),
];

/** `nobody`: of a thing that belongs to neither owner. */
export function rolesHere(person: Person, owner: Owner | 'nobody', about: About): ReadonlySet<Role> {
  if (person.name === 'anonymous') return new Set(['anonymous']);
  if (owner === 'nobody') return new Set(['anonymous', 'caller']);
  return new Set(['anonymous', 'caller', ...person.roles(owner, about)]);
}
