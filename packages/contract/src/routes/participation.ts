/** Participation with people: requests and invitations answered, bans, and what waits for whom. */
import * as z from 'zod';
import { ISOLATIONS, principalId, subcloudName } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';
import { memberShape, nodeIdShape, pageOf, pageQuery, time, withdrawal } from './shapes.ts';

const byName = z.strictObject({ name: subcloudName });
const byNameAndNode = z.strictObject({ name: subcloudName, node: nodeIdShape });

export const banShape = z.strictObject({
  id: z.string(),
  /** `global`: from the whole network. */
  subcloud: z.string(),
  /** `operator`: all its nodes, those that it enrols later too. `account`: as a caller. */
  kind: z.enum(['node', 'operator', 'account']),
  /** A node's id, or a principal. */
  subject: z.string(),
  reason: z.string().nullable(),
  by: z.string(),
  at: time,
});
export type Ban = z.infer<typeof banShape>;
const reason = z.string().min(1).max(512).optional();

/** What waits for somebody's answer. */
export const waitingShape = z.strictObject({
  id: z.string(),
  /** `invitation`: for the node's operator to accept or decline. `request`: for the Subcloud's owner to approve or deny. */
  kind: z.enum(['invitation', 'request']),
  subcloud: z.string(),
  owner: principalId.nullable(),
  node: nodeIdShape,
  nodeName: z.string(),
  operator: principalId,
  /** What the node would be kept from while it is a member. */
  isolation: z.enum(ISOLATIONS),
  since: time,
  expiresAt: time,
});
export type Waiting = z.infer<typeof waitingShape>;

export const participationRoutes = defineRoutes({
  approveMember: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/members/{node}/approve',
    auth: 'credential',
    action: 'member.approve',
    summary: 'Approve the request of a node; it joins when its operator and its facts allow',
    params: byNameAndNode,
    status: 200,
    response: memberShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  denyMember: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/members/{node}/deny',
    auth: 'credential',
    action: 'member.deny',
    summary: 'Deny the request of a node; it asks no more until it is invited',
    params: byNameAndNode,
    status: 200,
    response: memberShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  acceptMember: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/members/{node}/accept',
    auth: 'credential',
    action: 'member.accept',
    summary: "The operator's yes: accepts an invitation, or asks where nobody has invited",
    params: byNameAndNode,
    /** `isolation`: the most that the Subcloud may take; default: what it takes now. */
    body: z.strictObject({ isolation: z.enum(ISOLATIONS).optional() }),
    status: 200,
    response: memberShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  declineMember: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/members/{node}/decline',
    auth: 'credential',
    action: 'member.decline',
    summary: "The operator's no: declines an invitation, takes back a request, or leaves; it stands until an accept",
    params: byNameAndNode,
    status: 200,
    response: withdrawal,
    errors: ['client.not_found'],
  },
  createBan: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/bans',
    auth: 'credential',
    action: 'member.ban',
    summary: 'Ban a node, an operator or a caller; what is in flight is cut. From `global`: from the whole network',
    params: byName,
    body: z.strictObject({
      kind: z.enum(['node', 'operator', 'account']),
      subject: z.string().min(1).max(160),
      reason,
    }),
    status: 201,
    response: z.strictObject({ ban: banShape, withdrawal }),
    errors: ['client.not_found', 'client.conflict'],
  },
  listBans: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/bans',
    auth: 'credential',
    action: 'ban.list',
    summary: 'Bans in force',
    params: byName,
    query: pageQuery,
    status: 200,
    response: pageOf(banShape),
    errors: ['client.not_found'],
  },
  liftBan: {
    method: 'delete',
    path: '/api/v1/subclouds/{name}/bans/{id}',
    auth: 'credential',
    action: 'member.unban',
    summary: 'Lift a ban; who was banned may come in again as anybody may',
    params: z.strictObject({ name: subcloudName, id: z.string().max(64) }),
    status: 200,
    response: z.strictObject({ lifted: z.string() }),
    errors: ['client.not_found'],
  },
  listInbox: {
    method: 'get',
    path: '/api/v1/inbox',
    auth: 'credential',
    action: 'inbox.list',
    summary: 'What waits for an answer that the caller may give',
    query: pageQuery,
    status: 200,
    response: pageOf(waitingShape),
    errors: [],
  },
});
