/**
 * Random organisations, teams, programs, Subclouds, nodes and delegations, changed at random: what somebody may do is what a
 * model says that knows nothing but a list of facts and, for each role, the sentence that docs/access.md has for it.
 */
import { ACTIONS } from '@subcloud/contract/routes/actions';
import type { PrincipalId } from '@subcloud/policy/principal';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { groupsOf } from '../world/groups.ts';
import { MEMBER_ROLES, type MemberRole, nobody, organisationOf, setMember } from '../world/people.ts';
import type { NodeRecord, SubcloudRecord, World } from '../world/world.ts';
import type { Who } from './actor.ts';
import { may } from './authorise.ts';
import { RIGHTS, type Role } from './rights.ts';
import type { Resource } from './roles-of.ts';

const PEOPLE = ['user:a', 'user:b', 'user:c'] as const;
const PROGRAM = 'user:svc.x.p';
const ORGS = ['org:x', 'org:y'] as const;
const TEAMS = ['team:x/t', 'team:y/t'] as const;
const OWNERS: readonly PrincipalId[] = [...PEOPLE, PROGRAM, ...ORGS, ...TEAMS];
const SUBCLOUDS = ['s1', 's2'] as const;
const NODES = ['n1', 'n2'] as const;

interface Facts {
  /** In order: later ones replace or (role undefined) end earlier ones. */
  readonly joins: readonly (readonly [group: PrincipalId, member: PrincipalId, role: MemberRole | undefined])[];
  readonly delegates: readonly (readonly [subcloud: string, to: PrincipalId])[];
  readonly owners: Readonly<Record<string, PrincipalId>>;
  readonly operators: Readonly<Record<string, PrincipalId>>;
  readonly members: readonly (readonly [node: string, subcloud: string, state: 'active' | 'invited' | 'left'])[];
  readonly network: Readonly<Partial<Record<PrincipalId, 'admin' | 'auditor'>>>;
}

const principal = fc.constantFrom(...OWNERS);
const byName = <Value>(names: readonly string[], value: fc.Arbitrary<Value>): fc.Arbitrary<Record<string, Value>> =>
  fc.record(Object.fromEntries(names.map((name) => [name, value])));
const facts: fc.Arbitrary<Facts> = fc.record({
  joins: fc.array(
    fc.tuple(
      fc.constantFrom<PrincipalId>(...ORGS, ...TEAMS),
      fc.constantFrom<PrincipalId>(...PEOPLE, PROGRAM),
      fc.option(fc.constantFrom(...MEMBER_ROLES), { nil: undefined, freq: 5 }),
    ),
    { maxLength: 12 },
  ),
  delegates: fc.array(fc.tuple(fc.constantFrom(...SUBCLOUDS), principal), { maxLength: 3 }),
  owners: byName(SUBCLOUDS, principal),
  operators: byName(NODES, principal),
  members: fc.array(
    fc.tuple(
      fc.constantFrom(...NODES),
      fc.constantFrom(...SUBCLOUDS),
      fc.constantFrom('active' as const, 'invited' as const, 'left' as const),
    ),
    { maxLength: 3 },
  ),
  network: fc.dictionary(principal, fc.constantFrom('admin' as const, 'auditor' as const), { maxKeys: 1 }),
});

function worldOf(given: Facts): World {
  const people = nobody();
  const record = { displayName: null, createdAtMs: 0 };
  for (const id of ORGS) people.organisations.set(id, { ...record, id, members: new Map() });
  for (const id of TEAMS) people.teams.set(id, { ...record, id, organisation: organisationOf(id), members: new Map() });
  people.accounts.set(PROGRAM, { kind: 'service', organisation: 'org:x', displayName: null, disabled: false });
  for (const join of given.joins) setMember(people, ...join);
  for (const [id, role] of Object.entries(given.network))
    if (role !== undefined) people.networkRoles.set(id as PrincipalId, role);
  for (const [subcloud, to] of given.delegates)
    people.delegates.set(subcloud, new Set([...(people.delegates.get(subcloud) ?? []), to]));
  const subclouds = new Map(
    SUBCLOUDS.map((id) => [id, { id, name: id, owner: given.owners[id] } as unknown as SubcloudRecord]),
  );
  const nodes = new Map(
    NODES.map((id) => {
      const memberships = new Map(
        given.members.filter(([node]) => node === id).map(([, to, state]) => [to, { state }]),
      );
      return [id, { id, operator: given.operators[id], claims: [], memberships } as unknown as NodeRecord];
    }),
  );
  return { people, subclouds, nodes } as unknown as World;
}

/** The last that was said of each pair. */
function roleIn(given: Facts, group: string, who: string): MemberRole | undefined {
  return given.joins.findLast(([joined, member]) => joined === group && member === who)?.[2];
}

type Thing = { readonly owner: PrincipalId; readonly kind: 'principal' | 'subcloud' | 'node'; readonly id: string };

/** The sentence of each role, once more. */
function has(given: Facts, role: Role, who: PrincipalId, thing: Thing): boolean {
  const { owner, kind, id } = thing;
  const isProgram = owner === PROGRAM && who !== PROGRAM;
  const organisation = isProgram ? 'org:x' : owner;
  const isTeam = owner.startsWith('team:');
  const inOrg = (wanted: MemberRole): boolean =>
    organisation.startsWith('org:') && roleIn(given, organisation, who) === wanted && organisation !== who;
  const inTeam = (wanted: MemberRole): boolean => isTeam && owner !== who && roleIn(given, owner, who) === wanted;
  const above = (wanted: MemberRole): boolean =>
    isTeam && owner !== who && roleIn(given, `org:${owner.slice(5).split('/')[0] ?? ''}`, who) === wanted;
  const acts = who === owner;
  switch (role) {
    case 'anonymous':
    case 'joinToken':
    case 'caller':
      return false;
    case 'networkAdmin':
      return given.network[who] === 'admin';
    case 'auditor':
      return given.network[who] === 'auditor';
    case 'self':
      return kind === 'principal' && acts;
    case 'orgOwner':
      return inOrg('owner');
    case 'orgAdmin':
      return inOrg('admin');
    case 'orgMember':
      return inOrg('member') && !isProgram;
    case 'orgViewer':
      return inOrg('viewer') && !isProgram;
    case 'teamOwner':
      return inTeam('owner') || above('owner');
    case 'teamAdmin':
      return inTeam('admin') || above('admin');
    case 'teamMember':
      return inTeam('member');
    case 'teamViewer':
      return inTeam('viewer');
    case 'subcloudOwner':
      if (kind === 'subcloud') return acts;
      return kind === 'node' && given.members.some(([node, subcloud]) => node === id && explains(given, who, subcloud));
    case 'nodeOperator':
      if (kind === 'node') return acts;
      return kind === 'subcloud' && holdsANodeOf(given, who, id);
    case 'delegate':
      return kind === 'subcloud' && isDelegate(given, who, id);
  }
}

const STANDING: readonly Role[] = [
  'orgOwner',
  'orgAdmin',
  'orgMember',
  'orgViewer',
  'teamOwner',
  'teamAdmin',
  'teamMember',
  'teamViewer',
];

function isDelegate(given: Facts, who: PrincipalId, subcloud: string): boolean {
  return given.delegates.some(
    ([delegated, owner]) =>
      delegated === subcloud &&
      (owner === who ||
        STANDING.filter((role) => !role.endsWith('Viewer')).some((role) =>
          has(given, role, who, { owner, kind: 'principal', id: '' }),
        )),
  );
}

function explains(given: Facts, who: PrincipalId, subcloud: string): boolean {
  const owner = given.owners[subcloud] ?? 'user:a';
  return (
    owner === who ||
    isDelegate(given, who, subcloud) ||
    STANDING.some((role) => has(given, role, who, { owner, kind: 'principal', id: '' }))
  );
}

/** In whatever state but left; the last that was said of a pair. */
function holdsANodeOf(given: Facts, who: PrincipalId, subcloud: string): boolean {
  return NODES.some((node) => {
    const state = given.members.findLast(([id, to]) => id === node && to === subcloud)?.[2];
    const owner = given.operators[node] ?? 'user:a';
    return (
      state !== undefined &&
      state !== 'left' &&
      (owner === who || STANDING.some((role) => has(given, role, who, { owner, kind: 'principal', id: '' })))
    );
  });
}

test('what anybody may do to anything is what its roles say, and nothing else', () => {
  fc.assert(
    fc.property(facts, (given) => {
      const world = worldOf(given);
      const things: readonly (readonly [Thing, Resource])[] = [
        ...OWNERS.map(
          (id) =>
            [
              { owner: id, kind: 'principal', id },
              { kind: 'principal', principal: id },
            ] as const,
        ),
        ...[...world.subclouds.values()].map(
          (subcloud) =>
            [
              { owner: subcloud.owner ?? 'user:a', kind: 'subcloud', id: subcloud.id },
              { kind: 'subcloud', subcloud },
            ] as const,
        ),
        ...[...world.nodes.values()].map(
          (node) =>
            [
              { owner: node.operator, kind: 'node', id: node.id },
              { kind: 'node', node },
            ] as const,
        ),
      ];
      for (const id of OWNERS) {
        const who: Who = { kind: 'principal', principal: id, credential: 'key' };
        for (const [thing, resource] of things) {
          const wanted = ACTIONS.filter((action) => RIGHTS[action].some((role) => has(given, role, id, thing)));
          const seen = ACTIONS.filter((action) => may(world, { ...who, action }, resource));
          expect({ id, thing, may: seen }).toEqual({ id, thing, may: wanted });
        }
      }
    }),
    { numRuns: 150 },
  );
});

test('whoever is in a team or organisation belongs to it and to its organisation, and nobody else does', () => {
  fc.assert(
    fc.property(facts, (given) => {
      const world = worldOf(given);
      for (const id of OWNERS) {
        const groups = [...ORGS, ...TEAMS].filter((group) => roleIn(given, group, id) !== undefined);
        const implied = [id, ...groups].filter((each) => each.startsWith('team:')).map(organisationOf);
        expect(groupsOf(world, id)).toEqual([...new Set([...groups, ...implied])].sort());
      }
    }),
    { numRuns: 300 },
  );
});
