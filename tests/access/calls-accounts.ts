/** The calls of calls.ts about accounts and signing in. */
import type { accountsRoutes } from '@subcloud/contract/routes/accounts';
import type { Role } from '@subcloud/control/access/rights';
import type { Call } from './calls.ts';
import { PASSWORD } from './fixture.ts';

const NETWORK = { about: 'network', refused: 'forbidden', owners: ['org:acme'] } as const;

function ofNetwork(person: string): readonly Role[] {
  if (person === 'admin-token' || person === 'network-admin') return ['networkAdmin'];
  return person === 'auditor' ? ['auditor'] : [];
}

/** About the one account of a person, that of `user:stranger`. */
const PERSON = {
  about: 'principal',
  refused: 'known',
  know: 'account.read',
  owners: ['org:acme'],
  stranger: 'sender',
  roles: (person: string): readonly Role[] => (person === 'stranger' ? ['self'] : ofNetwork(person)),
} as const;
const stranger = { params: { id: 'stranger' } } as const;

export const ACCOUNT_CALLS: Readonly<Record<keyof typeof accountsRoutes, Call>> = {
  loginOptions: { ...NETWORK, input: () => ({}) },
  // There is an account: to who may, a conflict.
  createFirstAccount: { ...NETWORK, input: () => ({ body: { email: 'first@example.com', password: PASSWORD } }) },
  startDevice: { ...NETWORK, input: () => ({ body: { clientName: 'test' } }) },
  pollDevice: { ...NETWORK, input: () => ({ body: { deviceCode: 'none' } }) },
  listAccounts: { ...NETWORK, input: () => ({}) },
  getAccount: { ...PERSON, input: () => stranger },
  setNetworkRole: { ...PERSON, refused: 'forbidden', input: () => ({ ...stranger, body: { role: null } }) },
  setPassword: { ...PERSON, input: () => ({ ...stranger, body: { current: PASSWORD, next: PASSWORD } }) },
  disableAccount: {
    ...PERSON,
    // A new service account: those who run its organisation run it.
    roles: (person) =>
      person === 'org-owner' ? ['orgOwner'] : person === 'org-admin' ? ['orgAdmin'] : ofNetwork(person),
    input: async ({ admin, unique }) => {
      const id = unique('program');
      await admin.call('createServiceAccount', { params: { org: 'acme' }, body: { id } });
      return { params: { id: `svc.acme.${id}` } };
    },
  },
};
