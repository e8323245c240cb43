/**
 * Every kind of event, told once about what belongs to an organisation and once about what belongs to a team of it: who
 * reads it is who could read the same by the route for it, for the roles that people have by declaration
 * (tests/access/people.ts), and nobody else. A new kind has no case here until somebody has said who reads it.
 */
import { RIGHTS } from '@subcloud/control/access/rights';
import { EVENT_KINDS, type EventKind } from '@subcloud/contract/event-kinds';
import type { Action } from '@subcloud/contract/routes/actions';
import { type ControlRouteName, controlRoutes } from '@subcloud/contract/routes/control';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fixture, type Things, startFixture } from '../access/fixture.ts';
import { type About, OWNERS, type Owner, PEOPLE, type Person, rolesHere } from '../access/people.ts';

/** Somebody who is nothing to either owner, and is named by the event. */
const NAMED = 'user:sender';

/** Whoever may call the route, or has the right by which entries of a list are shown, on the thing; or on NAMED. */
interface Readers {
  readonly by: ControlRouteName | Action;
  readonly on: About | 'named';
}
interface Case {
  readonly node?: (things: Things, fixture: Fixture) => string;
  readonly subcloud?: true;
  readonly principal?: 'owner' | 'named';
  readonly detail?: (owner: Owner) => object;
  readonly readers: readonly Readers[];
}

const subcloud = (by: Readers['by']): Case => ({ subcloud: true, readers: [{ by, on: 'subcloud' }] });
const owned = (by: Readers['by']): Case => ({ principal: 'owner', readers: [{ by, on: 'principal' }] });
const ownNode = ({ node }: Things): string => node;

const membership: Case = {
  subcloud: true,
  node: (_things, { operatorsNode }) => operatorsNode,
  // Of the operator's node: the operator too, and nobody of a Subcloud that has invited it besides.
  readers: [
    { by: 'explainSubcloud', on: 'subcloud' },
    { by: 'getNode', on: 'node' },
  ],
};
const node: Case = { node: ownNode, readers: [{ by: 'getNode', on: 'node' }] };
const revision = subcloud('getSubcloud');
const token = subcloud('listTokens');
const ban = subcloud('listBans');
const binding: Case = {
  subcloud: true,
  principal: 'named',
  readers: [
    { by: 'binding.read', on: 'subcloud' },
    { by: 'binding.read', on: 'named' },
  ],
};
const claimOfNode: Readers = { by: 'getNode', on: 'node' };
const claimOfIssuer: Readers = { by: 'getClaim', on: 'principal' };
const ofTheNetwork: Case = { readers: [{ by: 'listEvents', on: 'network' }] };
const group: Case = {
  principal: 'owner',
  detail: () => ({ principal: NAMED }),
  readers: [
    { by: 'getOrg', on: 'principal' },
    { by: 'account.read', on: 'named' },
  ],
};
const invitation: Case = {
  principal: 'named',
  detail: (owner) => ({ group: owner }),
  readers: [
    { by: 'invitation.read', on: 'named' },
    { by: 'invitation.read', on: 'principal' },
  ],
};
const account: Case = { principal: 'named', readers: [{ by: 'account.read', on: 'named' }] };
const network: Case = { principal: 'owner', subcloud: true, node: ownNode, readers: [] };

const CASES: Readonly<Record<EventKind, Case>> = {
  'membership.requested': membership,
  'membership.invited': membership,
  'membership.approved': membership,
  'membership.denied': membership,
  'membership.accepted': membership,
  'membership.declined': membership,
  'membership.probation': membership,
  'membership.active': membership,
  'membership.suspended': membership,
  'membership.draining': membership,
  'membership.left': membership,
  'membership.removed': membership,
  'membership.banned': membership,
  'membership.ended': membership,
  'node.enrolled': node,
  'node.drained': node,
  'node.undrained': node,
  'node.removed': node,
  'node.online': node,
  'node.offline': node,
  'node.link_refused': node,
  'subcloud.created': revision,
  'subcloud.updated': revision,
  'subcloud.deleted': revision,
  'subcloud.shadowed': subcloud('getDraft'),
  'subcloud.delegated': subcloud('listRevisions'),
  'subcloud.offered': {
    subcloud: true,
    principal: 'named',
    readers: [
      { by: 'listRevisions', on: 'subcloud' },
      { by: 'subcloud.receive', on: 'named' },
    ],
  },
  'subcloud.transferred': {
    subcloud: true,
    principal: 'owner',
    detail: () => ({ from: NAMED }),
    readers: [
      { by: 'listRevisions', on: 'subcloud' },
      { by: 'subcloud.receive', on: 'named' },
    ],
  },
  'token.created': token,
  'token.rotated': token,
  'token.revoked': token,
  'key.created': owned('key.read'),
  'key.revoked': owned('key.read'),
  'join_token.created': owned('joinToken.read'),
  'join_token.revoked': owned('joinToken.read'),
  'ban.created': ban,
  'ban.lifted': ban,
  'binding.offered': binding,
  'binding.active': binding,
  'binding.declined': binding,
  'binding.ended': binding,
  'claim.created': { node: ownNode, readers: [claimOfNode] },
  'claim.revoked': { principal: 'owner', readers: [claimOfIssuer] },
  'claim.restored': { node: ownNode, principal: 'owner', readers: [claimOfNode, claimOfIssuer] },
  'attester.created': owned('getClaim'),
  'attester.revoked': ofTheNetwork,
  'domain.created': owned('getDomain'),
  'domain.updated': ofTheNetwork,
  'domain.deleted': owned('getDomain'),
  'org.created': group,
  'team.created': group,
  'group.joined': group,
  'group.role_changed': group,
  'group.left': group,
  'invitation.created': invitation,
  'invitation.accepted': invitation,
  'invitation.declined': invitation,
  'invitation.revoked': invitation,
  'account.role_changed': account,
  'account.password_changed': account,
  'account.disabled': account,
  'quota.changed': owned('quota.read'),
  'principal.created': network,
  'network.updated': network,
  'places.replaced': network,
  'gateway.enrolled': network,
  'gateway.removed': network,
  'gateway-token.created': network,
  'gateway-token.revoked': network,
  'security.lock_refusal': network,
};
const KINDS = Object.keys(EVENT_KINDS) as EventKind[];

let fixture: Fixture;
beforeAll(async () => {
  fixture = await startFixture();
  for (const owner of OWNERS) for (const kind of KINDS) await tell(kind, owner);
}, 120_000);
afterAll(() => fixture[Symbol.asyncDispose]());

async function tell(kind: EventKind, owner: Owner): Promise<void> {
  const { node: nodeOf, subcloud: inOne, principal, detail } = CASES[kind];
  const things = fixture.things(owner);
  await fixture.sql(
    `insert into events (at, kind, node_id, subcloud_id, principal, actor, reason, detail)
     values ($1, $2, $3, (select id from subclouds where name = $4), $5, 'admin', $6, $7)`,
    [
      Date.now(),
      kind,
      nodeOf?.(things, fixture) ?? null,
      inOne === undefined ? null : things.subcloud,
      principal === undefined ? null : principal === 'owner' ? owner : NAMED,
      `told to ${owner}`,
      JSON.stringify(detail?.(owner) ?? {}),
    ],
  );
}

const PERSONS = PEOPLE.filter(({ name }) => name !== 'anonymous');

test.each(OWNERS)(
  'each kind, about what belongs to %s, is read by whoever could read it by its route',
  async (owner) => {
    const seen: Record<string, string[]> = {};
    const wanted: Record<string, string[]> = {};
    for (const person of PERSONS) {
      seen[person.name] = (await readBy(person, owner)).sort();
      wanted[person.name] = KINDS.filter((kind) => mayRead(person, owner, CASES[kind])).sort();
    }
    expect(seen).toEqual(wanted);
  },
);

test('there is a kind that each person reads and, but for readers of all, one that it does not', () => {
  for (const person of PERSONS) {
    const read = OWNERS.flatMap((owner) => KINDS.map((kind) => mayRead(person, owner, CASES[kind])));
    expect([person.name, read.includes(true)]).toEqual([person.name, true]);
    expect([person.name, read.includes(false)]).toEqual([person.name, !mayRead(person, OWNERS[0], network)]);
  }
});

function mayRead(person: Person, owner: Owner, { readers, node: nodeOf }: Case): boolean {
  const all: Readers = { by: 'event.read', on: 'network' };
  return [all, ...readers].some(({ by, on }) => {
    const action = Object.hasOwn(controlRoutes, by) ? controlRoutes[by as ControlRouteName].action : (by as Action);
    if (on === 'named') return person.principal === NAMED && RIGHTS[action].includes('self');
    // The node in a membership is the operator's, not the owner's.
    if (on === 'node' && nodeOf === membership.node) return person.name === 'operator';
    const roles = rolesHere(person, owner, on);
    return RIGHTS[action].some((role) => roles.has(role));
  });
}

/** Kinds of the events that were told, as this person's list has them. */
async function readBy({ name }: Person, owner: Owner): Promise<string[]> {
  const kinds: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const { items, next } = await fixture
      .as(name)
      .call('listEvents', { query: { limit: 100, ...(cursor === undefined ? {} : { cursor }) } });
    kinds.push(...items.filter(({ reason }) => reason === `told to ${owner}`).map(({ kind }) => kind));
    if (next === null) return kinds;
    cursor = next;
  }
}
