/** The calls of calls.ts about organisations, teams, invitations and ownership. */
import type { peopleRoutes } from '@subcloud/contract/routes/people';
import type { Call, Input } from './calls.ts';
import type { Fixture, Things } from './fixture.ts';

const NETWORK = { about: 'network', refused: 'forbidden' } as const;
const ORG = { about: 'principal', refused: 'known', know: 'org.read', owners: ['org:acme'] } as const;
const TEAM = {
  about: 'principal',
  refused: 'known',
  know: 'org.read',
  owners: ['team:acme/ml'],
  alsoOf: 'org:acme',
} as const;
const SUBCLOUD = { about: 'subcloud', refused: 'known', know: 'subcloud.read' } as const;

const acme = (): Input => ({ params: { org: 'acme' } });
const theSubcloud = (_fixture: Fixture, { subcloud }: Things): Input => ({ params: { name: subcloud } });

/** A new member of the organisation, and of the team where one is named. */
async function member({ admin, unique }: Fixture, team: boolean): Promise<Input> {
  const id = unique('member');
  await admin.call('createPrincipal', { body: { id: `user:${id}` } });
  await admin.call('setOrgMember', { params: { org: 'acme', member: id }, body: { role: 'viewer' } });
  if (!team) return { params: { org: 'acme', member: id } };
  const params = { org: 'acme', team: 'ml', member: id };
  await admin.call('setTeamMember', { params, body: { role: 'viewer' } });
  return { params };
}

async function invitation({ admin, unique }: Fixture, to: object): Promise<string> {
  const body = { group: 'org:acme', role: 'viewer', ...to } as const;
  const made = await admin.call('createInvitation', { body: { email: `${unique('mail')}@example.com`, ...body } });
  return made.id;
}

export const PEOPLE_CALLS: Readonly<Record<keyof typeof peopleRoutes, Call>> = {
  // A key of an organisation makes none: it is no account.
  createOrg: {
    ...NETWORK,
    not: ['key-of-org-acme', 'key-of-team-acme-ml'],
    input: ({ unique }) => ({ body: { id: unique('org') } }),
  },
  listOrgs: { ...NETWORK, input: () => ({}) },
  getOrg: { ...ORG, input: acme },
  listOrgMembers: { ...ORG, input: acme },
  setOrgMember: {
    ...ORG,
    input: async (fixture) => ({ ...(await member(fixture, false)), body: { role: 'member' } }),
  },
  removeOrgMember: { ...ORG, input: (fixture) => member(fixture, false) },
  leaveOrg: {
    ...ORG,
    // Whoever is let through leaves, and comes back for the calls that follow.
    after: async ({ admin }, person) => {
      const role = /^org-(owner|admin|member|viewer)$/.exec(person)?.[1];
      if (role === undefined) return;
      await admin.call('setOrgMember', {
        params: { org: 'acme', member: person },
        body: { role: role as 'owner' },
      });
    },
    input: acme,
  },
  createTeam: { ...ORG, input: ({ unique }) => ({ params: { org: 'acme' }, body: { id: unique('team') } }) },
  listTeams: { ...ORG, input: acme },
  listTeamMembers: { ...TEAM, input: () => ({ params: { org: 'acme', team: 'ml' } }) },
  setTeamMember: {
    ...TEAM,
    input: async (fixture) => ({ ...(await member(fixture, true)), body: { role: 'member' } }),
  },
  removeTeamMember: { ...TEAM, input: (fixture) => member(fixture, true) },
  createServiceAccount: {
    ...ORG,
    input: ({ unique }) => ({ params: { org: 'acme' }, body: { id: unique('svc') } }),
  },

  createInvitation: {
    ...ORG,
    input: ({ unique }) => ({ body: { group: 'org:acme', role: 'viewer', email: `${unique('mail')}@example.com` } }),
  },
  listInvitations: { ...NETWORK, input: () => ({}) },
  // To somebody else, without its token: nobody answers it, whatever he may do to the organisation.
  acceptInvitation: {
    ...NETWORK,
    refused: 'hidden',
    not: 'all',
    input: async (fixture) => ({ params: { id: await invitation(fixture, {}) }, body: {} }),
  },
  declineInvitation: {
    ...NETWORK,
    refused: 'hidden',
    not: 'all',
    input: async (fixture) => ({ params: { id: await invitation(fixture, {}) } }),
  },
  revokeInvitation: {
    ...ORG,
    refused: 'hidden',
    input: async (fixture) => ({ params: { id: await invitation(fixture, {}) } }),
  },

  getDelegates: { ...SUBCLOUD, input: theSubcloud },
  putDelegates: {
    ...SUBCLOUD,
    input: (_fixture, { subcloud }) => ({ params: { name: subcloud }, body: { delegates: ['team:other/ops'] } }),
  },
  transferSubcloud: {
    ...SUBCLOUD,
    input: (_fixture, { subcloud, owner }) => ({ params: { name: subcloud }, body: { to: owner } }),
  },
  acceptTransfer: {
    about: 'principal',
    refused: 'hidden',
    input: async (fixture, { owner }) => {
      const name = await fixture.subcloud('user:host');
      await fixture.as('host').call('transferSubcloud', { params: { name }, body: { to: owner } });
      return { params: { name } };
    },
  },
};
