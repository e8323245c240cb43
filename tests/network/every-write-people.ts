/** The cases of every-write.ts about organisations, accounts and ownership. */
import type { TestNetwork } from '@subcloud/testkit/test-network';
import type { WriteCases, WriteName } from './every-write.ts';
import type { accountsRoutes } from '@subcloud/contract/routes/accounts';
import type { peopleRoutes } from '@subcloud/contract/routes/people';

/** Done by an account for itself, which the admin token is not, or once only; tests/access and tests/identity have them. */
export const BY_ACCOUNTS = [
  'leaveOrg',
  'acceptInvitation',
  'declineInvitation',
  'createFirstAccount',
  'pollDevice',
] as const satisfies readonly WriteName[];

export function peopleWrites(
  { admin, client, principal }: Pick<TestNetwork, 'admin' | 'client' | 'principal'>,
  fresh: () => string,
  subcloud: () => Promise<string>,
): Pick<WriteCases, WriteName & (keyof typeof peopleRoutes | keyof typeof accountsRoutes)> {
  const byAccounts = (): never => {
    throw new Error('see tests/access');
  };
  const org = async (): Promise<string> => {
    const id = fresh();
    await admin.call('createOrg', { body: { id } });
    return id;
  };
  const account = async (): Promise<string> => {
    const id = fresh();
    await admin.call('createPrincipal', { body: { id: `user:${id}` } });
    return id;
  };
  const member = async (): Promise<{ org: string; member: string }> => {
    const params = { org: await org(), member: await account() };
    await admin.call('setOrgMember', { params, body: { role: 'member' } });
    return params;
  };
  const teamMember = async (): Promise<{ org: string; team: string; member: string }> => {
    const params = { ...(await member()), team: fresh() };
    await admin.call('createTeam', { params: { org: params.org }, body: { id: params.team } });
    await admin.call('setTeamMember', { params, body: { role: 'member' } });
    return params;
  };
  const person = async (): Promise<string> => {
    if (!(await admin.call('loginOptions')).hasAccounts)
      await admin.call('createFirstAccount', {
        body: { email: 'first@example.com', password: 'a long enough password' },
      });
    return 'first';
  };
  return {
    createFirstAccount: byAccounts,
    pollDevice: byAccounts,
    setNetworkRole: async () => ({ params: { id: await person() }, body: { role: 'admin' } }),
    setPassword: async () => ({ params: { id: await person() }, body: { next: 'another long password' } }),
    disableAccount: async () => {
      const params = { org: await org() };
      const id = fresh();
      await admin.call('createServiceAccount', { params, body: { id } });
      return { params: { id: `svc.${params.org}.${id}` } };
    },
    createOrg: () => Promise.resolve({ body: { id: fresh() } }),
    setOrgMember: async () => ({ params: await member(), body: { role: 'admin' } }),
    removeOrgMember: async () => ({ params: await member() }),
    leaveOrg: byAccounts,
    createTeam: async () => ({ params: { org: await org() }, body: { id: fresh() } }),
    setTeamMember: async () => ({ params: await teamMember(), body: { role: 'viewer' } }),
    removeTeamMember: async () => ({ params: await teamMember() }),
    createServiceAccount: async () => ({ params: { org: await org() }, body: { id: fresh() } }),
    createInvitation: async () => ({
      body: { group: `org:${await org()}`, role: 'member', email: `${fresh()}@example.com` },
    }),
    acceptInvitation: byAccounts,
    declineInvitation: byAccounts,
    revokeInvitation: async () => {
      const body = { group: `org:${await org()}`, role: 'member', email: `${fresh()}@example.com` } as const;
      return { params: { id: (await admin.call('createInvitation', { body })).id } };
    },
    putDelegates: async () => ({ params: { name: await subcloud() }, body: { delegates: [`org:${await org()}`] } }),
    transferSubcloud: async () => ({ params: { name: await subcloud() }, body: { to: `org:${await org()}` } }),
    acceptTransfer: async () => {
      const params = { name: await subcloud() };
      const owner = client(await principal('user:admin'));
      await owner.call('transferSubcloud', { params, body: { to: `org:${await org()}` } });
      return { params };
    },
  };
}
