/** Organisations, teams, their members, invitations, service accounts, and Subclouds that change hands. */
import * as z from 'zod';
import { principalId, subcloudName } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';
import { name as shortText, pageOf, pageQuery, subcloudShape, time, withdrawal } from './shapes.ts';

export const MEMBER_ROLES = ['owner', 'admin', 'member', 'viewer'] as const;
export const NETWORK_ROLES = ['admin', 'auditor'] as const;

/** An id without its kind: what stands behind `user:` or `org:`, and behind the `/` of a team. */
export const bareId = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, 'must be lower-case letters, digits, dots, hyphens, 63 at most');
export const email = z
  .string()
  .max(254)
  .regex(/^[^\s@"<>]{1,64}@[^\s@"<>]+\.[^\s@"<>]+$/, 'must be an e-mail address')
  .transform((text) => text.toLowerCase());
const memberRole = z.enum(MEMBER_ROLES);
const byOrg = z.strictObject({ org: bareId });
const byTeam = z.strictObject({ org: bareId, team: bareId });
const byName = z.strictObject({ name: subcloudName });
const byId = z.strictObject({ id: z.string().max(64) });
const INVITATION_MAX_S = 2_592_000;

export const groupShape = z.strictObject({
  id: principalId,
  displayName: z.string().nullable(),
  createdAt: time,
  members: z.int(),
  /** What the caller is in it; null: it is not a member. */
  role: memberRole.nullable(),
});
export const groupMemberShape = z.strictObject({
  principal: principalId,
  role: memberRole,
  kind: z.enum(['person', 'service']),
  displayName: z.string().nullable(),
});
export const invitationShape = z.strictObject({
  id: z.string(),
  /** Null: to the network alone. */
  group: principalId.nullable(),
  role: memberRole.nullable(),
  networkRole: z.enum(NETWORK_ROLES).nullable(),
  /** Whom it is addressed to: an account, or an e-mail address that need not have one yet. */
  principal: principalId.nullable(),
  email: z.string().nullable(),
  invitedBy: z.string(),
  createdAt: time,
  expiresAt: time,
  state: z.enum(['open', 'accepted', 'declined', 'revoked', 'expired']),
});
const delegatesShape = z.strictObject({ subcloud: z.string(), delegates: z.array(principalId) });
const transferShape = z.strictObject({
  subcloud: z.string(),
  from: principalId,
  to: principalId,
  /** `offered`: it changes hands when the receiver accepts. */
  state: z.enum(['offered', 'done']),
});
const changed = z.strictObject({ withdrawal });
/** A group that somebody joins may be bound or banned: what it may no longer call is withdrawn as by leaving. */
const joinedShape = groupMemberShape.extend({ withdrawal });

export const peopleRoutes = defineRoutes({
  createOrg: {
    method: 'post',
    path: '/api/v1/orgs',
    auth: 'credential',
    action: 'org.create',
    summary: 'Make an organisation; the account that makes it owns it',
    body: z.strictObject({ id: bareId, displayName: shortText.optional() }),
    status: 201,
    response: groupShape,
    errors: ['client.conflict'],
  },
  listOrgs: {
    method: 'get',
    path: '/api/v1/orgs',
    auth: 'credential',
    action: 'org.list',
    summary: 'Organisations that the caller is in; all for the network admin',
    query: pageQuery,
    status: 200,
    response: pageOf(groupShape),
    errors: [],
  },
  getOrg: {
    method: 'get',
    path: '/api/v1/orgs/{org}',
    auth: 'credential',
    action: 'org.read',
    summary: 'One organisation',
    params: byOrg,
    status: 200,
    response: groupShape,
    errors: ['client.not_found'],
  },
  listOrgMembers: {
    method: 'get',
    path: '/api/v1/orgs/{org}/members',
    auth: 'credential',
    action: 'org.read',
    summary: 'Members of an organisation',
    params: byOrg,
    query: pageQuery,
    status: 200,
    response: pageOf(groupMemberShape),
    errors: ['client.not_found'],
  },
  setOrgMember: {
    method: 'put',
    path: '/api/v1/orgs/{org}/members/{member}',
    auth: 'credential',
    action: 'org.role',
    summary: 'Give a member another role; the network admin also makes somebody a member',
    params: byOrg.extend({ member: bareId }),
    body: z.strictObject({ role: memberRole }),
    status: 200,
    response: joinedShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  removeOrgMember: {
    method: 'delete',
    path: '/api/v1/orgs/{org}/members/{member}',
    auth: 'credential',
    action: 'org.remove',
    summary: 'Remove a member from an organisation and from its teams',
    params: byOrg.extend({ member: bareId }),
    status: 200,
    response: changed,
    errors: ['client.not_found', 'client.conflict'],
  },
  leaveOrg: {
    method: 'delete',
    path: '/api/v1/orgs/{org}/membership',
    auth: 'credential',
    action: 'org.leave',
    summary: 'Leave an organisation and its teams',
    params: byOrg,
    status: 200,
    response: changed,
    errors: ['client.not_found', 'client.conflict'],
  },

  createTeam: {
    method: 'post',
    path: '/api/v1/orgs/{org}/teams',
    auth: 'credential',
    action: 'team.create',
    summary: 'Make a team of an organisation',
    params: byOrg,
    body: z.strictObject({ id: bareId, displayName: shortText.optional() }),
    status: 201,
    response: groupShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  listTeams: {
    method: 'get',
    path: '/api/v1/orgs/{org}/teams',
    auth: 'credential',
    action: 'org.read',
    summary: 'Teams of an organisation',
    params: byOrg,
    query: pageQuery,
    status: 200,
    response: pageOf(groupShape),
    errors: ['client.not_found'],
  },
  listTeamMembers: {
    method: 'get',
    path: '/api/v1/orgs/{org}/teams/{team}/members',
    auth: 'credential',
    action: 'org.read',
    summary: 'Members of a team',
    params: byTeam,
    query: pageQuery,
    status: 200,
    response: pageOf(groupMemberShape),
    errors: ['client.not_found'],
  },
  setTeamMember: {
    method: 'put',
    path: '/api/v1/orgs/{org}/teams/{team}/members/{member}',
    auth: 'credential',
    action: 'team.role',
    summary: 'Put a member of the organisation into a team, or give it another role there',
    params: byTeam.extend({ member: bareId }),
    body: z.strictObject({ role: memberRole }),
    status: 200,
    response: joinedShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  removeTeamMember: {
    method: 'delete',
    path: '/api/v1/orgs/{org}/teams/{team}/members/{member}',
    auth: 'credential',
    action: 'team.role',
    summary: 'Remove a member from a team',
    params: byTeam.extend({ member: bareId }),
    status: 200,
    response: changed,
    errors: ['client.not_found'],
  },

  createServiceAccount: {
    method: 'post',
    path: '/api/v1/orgs/{org}/service-accounts',
    auth: 'credential',
    action: 'serviceAccount.create',
    summary: 'Make an account for a program, as a member of the organisation',
    params: byOrg,
    body: z.strictObject({
      id: bareId,
      displayName: shortText.optional(),
      role: z.enum(['admin', 'member', 'viewer']).default('member'),
    }),
    status: 201,
    response: groupMemberShape,
    errors: ['client.not_found', 'client.conflict'],
  },

  createInvitation: {
    method: 'post',
    path: '/api/v1/invitations',
    auth: 'credential',
    action: 'invitation.create',
    summary: 'Invite somebody into an organisation or, as the network admin, into the network; the token is shown once',
    body: z
      .strictObject({
        principal: principalId.optional(),
        email: email.optional(),
        group: principalId.optional(),
        role: memberRole.optional(),
        networkRole: z.enum(NETWORK_ROLES).optional(),
        expiresInS: z.int().positive().max(INVITATION_MAX_S).default(604_800),
      })
      .refine(({ principal, email: to }) => (principal === undefined) !== (to === undefined), {
        error: 'name either a principal or an e-mail address',
        path: ['principal'],
      }),
    status: 201,
    response: invitationShape.extend({
      token: z.string(),
      /** Where the invited person accepts, on this network's own address. */
      path: z.string(),
    }),
    errors: ['client.not_found', 'client.conflict'],
  },
  listInvitations: {
    method: 'get',
    path: '/api/v1/invitations',
    auth: 'credential',
    action: 'invitation.list',
    summary: 'Invitations to the caller, and those into what it runs',
    query: pageQuery.extend({ group: principalId.optional() }),
    status: 200,
    response: pageOf(invitationShape),
    errors: [],
  },
  acceptInvitation: {
    method: 'post',
    path: '/api/v1/invitations/{id}/accept',
    auth: 'credential',
    action: 'invitation.answer',
    summary: 'Accept an invitation to the caller, or one whose token it holds',
    params: byId,
    body: z.strictObject({ token: z.string().max(256).optional() }),
    status: 200,
    response: invitationShape.extend({ withdrawal }),
    errors: ['client.not_found'],
  },
  declineInvitation: {
    method: 'post',
    path: '/api/v1/invitations/{id}/decline',
    auth: 'credential',
    action: 'invitation.answer',
    summary: 'Decline an invitation to the caller',
    params: byId,
    status: 200,
    response: invitationShape,
    errors: ['client.not_found'],
  },
  revokeInvitation: {
    method: 'delete',
    path: '/api/v1/invitations/{id}',
    auth: 'credential',
    action: 'invitation.revoke',
    summary: 'Take an invitation back',
    params: byId,
    status: 200,
    response: invitationShape,
    errors: ['client.not_found'],
  },

  getDelegates: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/delegates',
    auth: 'credential',
    action: 'subcloud.revisions',
    summary: 'Whom the owner lets manage a Subcloud',
    params: byName,
    status: 200,
    response: delegatesShape,
    errors: ['client.not_found'],
  },
  putDelegates: {
    method: 'put',
    path: '/api/v1/subclouds/{name}/delegates',
    auth: 'credential',
    action: 'subcloud.delegate',
    summary: 'Say whom the owner lets manage a Subcloud; an empty list takes it back',
    params: byName,
    body: z.strictObject({ delegates: z.array(principalId).max(16) }),
    status: 200,
    response: delegatesShape,
    errors: ['client.not_found'],
  },
  transferSubcloud: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/transfer',
    auth: 'credential',
    action: 'subcloud.transfer',
    summary: 'Offer a Subcloud to another owner; done at once where the caller acts for that one too',
    params: byName,
    body: z.strictObject({ to: principalId }),
    status: 200,
    response: transferShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  acceptTransfer: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/transfer/accept',
    auth: 'credential',
    action: 'subcloud.receive',
    summary: 'Take over a Subcloud that was offered',
    params: byName,
    status: 200,
    response: z.strictObject({ subcloud: subcloudShape, withdrawal }),
    errors: ['client.not_found', 'client.conflict'],
  },
});
