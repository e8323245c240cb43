/** Accounts of people, and how one signs in with the command line. Forms in a browser are pages, not routes. */
import * as z from 'zod';
import { principalId } from '../vocabulary.ts';
import { bareId, email, MEMBER_ROLES, NETWORK_ROLES } from './people.ts';
import { defineRoutes } from './route.ts';
import { name as shortText, pageOf, pageQuery, time, withdrawal } from './shapes.ts';

export const MIN_PASSWORD_CHARACTERS = 12;
/** More is no safer and only costs the hash. */
const MAX_PASSWORD_CHARACTERS = 256;
export const passwordText = z
  .string()
  .min(MIN_PASSWORD_CHARACTERS, `must have at least ${MIN_PASSWORD_CHARACTERS} characters`)
  .max(MAX_PASSWORD_CHARACTERS);

export const accountShape = z.strictObject({
  principal: principalId,
  kind: z.enum(['person', 'service']),
  email: z.string().nullable(),
  displayName: z.string().nullable(),
  /** Of a service account: whose it is. */
  organisation: principalId.nullable(),
  networkRole: z.enum(NETWORK_ROLES).nullable(),
  groups: z.array(z.strictObject({ id: principalId, role: z.enum(MEMBER_ROLES) })),
  createdAt: time,
  disabled: z.boolean(),
});
const issuedKey = z.strictObject({
  principal: principalId,
  id: z.string(),
  /** An account key; it is shown once. */
  key: z.string(),
  expiresAt: time.nullable(),
});
const byId = z.strictObject({ id: bareId });
export const DEVICE_PATH = '/account/device';

export const accountsRoutes = defineRoutes({
  loginOptions: {
    method: 'get',
    path: '/api/v1/login',
    auth: 'public',
    action: 'login.read',
    summary: 'How one signs in here',
    status: 200,
    response: z.strictObject({
      /** False: the admin token makes the first account. */
      hasAccounts: z.boolean(),
      /** What the OpenID provider is called; null: there is none. */
      oidc: z.string().nullable(),
    }),
    errors: [],
  },
  createFirstAccount: {
    method: 'post',
    path: '/api/v1/login/first-account',
    auth: 'credential',
    action: 'account.first',
    summary: 'With the admin token, once: make the first account, which becomes network admin',
    body: z.strictObject({
      email,
      id: bareId.optional(),
      displayName: shortText.optional(),
      password: passwordText,
      keyName: shortText.optional(),
    }),
    status: 201,
    response: issuedKey,
    errors: ['client.conflict'],
  },
  startDevice: {
    method: 'post',
    path: '/api/v1/login/device',
    readOnly: 'a code is kept in memory until it is used, for ten minutes at most',
    auth: 'public',
    action: 'login.device',
    summary: 'Begin to sign in a device without a browser (as RFC 8628)',
    body: z.strictObject({ clientName: shortText }),
    status: 200,
    response: z.strictObject({
      deviceCode: z.string(),
      /** For a person to type at `path`, on this network's own address. */
      userCode: z.string(),
      path: z.string(),
      intervalS: z.int(),
      expiresInS: z.int(),
    }),
    errors: ['client.too_many_attempts'],
  },
  pollDevice: {
    method: 'post',
    path: '/api/v1/login/device/key',
    auth: 'public',
    action: 'login.device',
    summary: 'The account key, once a signed-in person has approved the code',
    body: z.strictObject({ deviceCode: z.string().max(256) }),
    status: 200,
    response: issuedKey,
    errors: ['client.authorization_pending', 'client.not_found', 'client.too_many_attempts'],
  },

  listAccounts: {
    method: 'get',
    path: '/api/v1/accounts',
    auth: 'credential',
    action: 'account.list',
    summary: 'All accounts',
    query: pageQuery,
    status: 200,
    response: pageOf(accountShape),
    errors: [],
  },
  getAccount: {
    method: 'get',
    path: '/api/v1/accounts/{id}',
    auth: 'credential',
    action: 'account.read',
    summary: 'One account',
    params: byId,
    status: 200,
    response: accountShape,
    errors: ['client.not_found'],
  },
  setNetworkRole: {
    method: 'put',
    path: '/api/v1/accounts/{id}/network-role',
    auth: 'credential',
    action: 'account.govern',
    summary: 'Make an account network admin or auditor, or neither',
    params: byId,
    body: z.strictObject({ role: z.enum(NETWORK_ROLES).nullable() }),
    status: 200,
    response: accountShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  setPassword: {
    method: 'put',
    path: '/api/v1/accounts/{id}/password',
    auth: 'credential',
    action: 'account.password',
    summary: 'Change a password, which ends the sessions of the account; the network admin needs not know the old one',
    params: byId,
    body: z.strictObject({ current: z.string().max(MAX_PASSWORD_CHARACTERS).optional(), next: passwordText }),
    status: 200,
    response: z.strictObject({ sessionsEnded: z.int() }),
    errors: ['client.not_found', 'client.too_many_attempts'],
  },
  disableAccount: {
    method: 'post',
    path: '/api/v1/accounts/{id}/disable',
    auth: 'credential',
    action: 'account.disable',
    summary: 'Disable an account for good: its keys are revoked, its sessions and memberships end',
    params: byId,
    status: 200,
    response: z.strictObject({ keysRevoked: z.int(), withdrawal }),
    errors: ['client.not_found', 'client.conflict'],
  },
});
