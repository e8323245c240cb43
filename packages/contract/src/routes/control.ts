/** Every route of the control API. */
import * as z from 'zod';
import { trustChain } from '../documents.ts';
import { principalId, subcloudName } from '../vocabulary.ts';
import { accountsRoutes } from './accounts.ts';
import { auditRoutes } from './audit.ts';
import { enrolmentRoutes } from './enrolment.ts';
import { receiptsRoutes } from './receipts.ts';
import { bindingsRoutes } from './bindings.ts';
import { claimsRoutes } from './claims.ts';
import { domainsRoutes } from './domains.ts';
import { drainsRoutes } from './drains.ts';
import { eventsRoutes } from './events.ts';
import { participationRoutes } from './participation.ts';
import { MEMBER_ROLES, NETWORK_ROLES, peopleRoutes } from './people.ts';
import { gatewaysRoutes } from './gateways.ts';
import { loadRoutes } from './load.ts';
import { signingKeysRoutes } from './signing-keys.ts';
import { planRoutes } from './plan.ts';
import { quotasRoutes } from './quotas.ts';
import { requestShape } from './request-shape.ts';
import { defineRoutes } from './route.ts';
import {
  clauseShape,
  memberShape,
  name,
  nodeDetailShape,
  nodeIdShape,
  nodeShape,
  pageOf,
  pageQuery,
  place,
  subcloudShape,
  time,
  subcloudTokenShape,
  tokenShape,
  tokenTerms,
  withdrawal,
} from './shapes.ts';

/** What usage may be summed by. */
export const USAGE_GROUPS = ['day', 'principal', 'organisation', 'subcloud', 'model'] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];
const usageQuery = pageQuery.extend({
  /** One or more, separated by commas. */
  by: z
    .string()
    .max(64)
    .regex(/^(?:day|principal|organisation|subcloud|model)(?:,(?:day|principal|organisation|subcloud|model))*$/)
    .default('principal,subcloud,model'),
  /** Days that are summed already count whole, from the first that begins at or after `since`. */
  since: time.optional(),
  until: time.optional(),
});
/** Null: not summed by it. */
const usageShape = z.strictObject({
  /** In UTC, `2026-01-31`. */
  day: z.string().nullable(),
  principal: z.string().nullable(),
  /** Whom the account acts for: of an organisation, its teams and its service accounts; empty: for itself. */
  organisation: z.string().nullable(),
  /** Name of the pool; `global` is one. */
  subcloud: z.string().nullable(),
  model: z.string().nullable(),
  requests: z.int(),
  promptTokens: z.int(),
  completionTokens: z.int(),
  /** Requests of which an end was never seen, counted from the text that was relayed. */
  estimated: z.int(),
});

const byName = z.strictObject({ name: subcloudName });
const byId = z.strictObject({ id: z.string().max(64) });
const byNameAndId = z.strictObject({ name: subcloudName, id: z.string().max(64) });
const byNameAndNode = z.strictObject({ name: subcloudName, node: nodeIdShape });

export const controlRoutes = defineRoutes({
  ...claimsRoutes,
  ...planRoutes,
  ...domainsRoutes,
  ...drainsRoutes,
  ...eventsRoutes,
  ...quotasRoutes,
  ...auditRoutes,
  ...accountsRoutes,
  ...peopleRoutes,
  ...bindingsRoutes,
  ...participationRoutes,
  ...gatewaysRoutes,
  ...loadRoutes,
  ...receiptsRoutes,
  ...signingKeysRoutes,

  openapi: {
    method: 'get',
    path: '/api/v1/openapi.json',
    auth: 'public',
    action: 'openapi.read',
    summary: 'This API as an OpenAPI 3.1 document',
    status: 200,
    response: z.record(z.string(), z.unknown()),
    errors: [],
  },
  network: {
    method: 'get',
    path: '/api/v1/network',
    auth: 'public',
    action: 'network.read',
    summary: 'The network, its key and the chain below it',
    status: 200,
    response: z.strictObject({ id: z.string(), fingerprint: z.string(), chain: trustChain, version: z.string() }),
    errors: [],
  },
  agentFile: {
    method: 'get',
    path: '/api/v1/agent-file',
    auth: 'public',
    action: 'network.read',
    summary: 'The file at /agent.mjs, by which a machine without this project joins',
    status: 200,
    response: z.strictObject({
      path: z.literal('/agent.mjs'),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      bytes: z.int().positive(),
    }),
    errors: ['client.not_found'],
  },
  whoami: {
    method: 'get',
    path: '/api/v1/whoami',
    auth: 'credential',
    action: 'self.read',
    summary: 'Whom the credential acts for',
    status: 200,
    response: z.strictObject({
      /** Null: the admin token, which acts for nobody. */
      principal: principalId.nullable(),
      /** Whether the credential may do what the network's admin may. */
      admin: z.boolean(),
      networkRole: z.enum(NETWORK_ROLES).nullable(),
      /** Id of the account key that was sent; null: the admin token. */
      credential: z.string().nullable(),
      groups: z.array(z.strictObject({ id: principalId, role: z.enum(MEMBER_ROLES) })),
    }),
    errors: [],
  },

  ...enrolmentRoutes,
  listNodes: {
    method: 'get',
    path: '/api/v1/nodes',
    auth: 'credential',
    action: 'node.list',
    summary: 'Nodes: all for the admin, else those that the caller operates',
    query: pageQuery,
    status: 200,
    response: pageOf(nodeShape),
    errors: [],
  },
  getNode: {
    method: 'get',
    path: '/api/v1/nodes/{id}',
    auth: 'credential',
    action: 'node.read',
    summary: 'One node with its claims',
    params: z.strictObject({ id: nodeIdShape }),
    status: 200,
    response: nodeDetailShape,
    errors: ['client.not_found'],
  },
  removeNode: {
    method: 'delete',
    path: '/api/v1/nodes/{id}',
    auth: 'credential',
    action: 'node.remove',
    summary: 'Remove a node from the network; its key never returns',
    params: z.strictObject({ id: nodeIdShape }),
    status: 200,
    response: withdrawal,
    errors: ['client.not_found'],
  },

  createPrincipal: {
    method: 'post',
    path: '/api/v1/principals',
    auth: 'credential',
    action: 'principal.create',
    summary: 'Make a principal',
    body: z.strictObject({ id: principalId }),
    status: 201,
    response: z.strictObject({ id: principalId, createdAt: time }),
    errors: ['client.conflict'],
  },
  listPrincipals: {
    method: 'get',
    path: '/api/v1/principals',
    auth: 'credential',
    action: 'principal.list',
    summary: 'All principals',
    query: pageQuery,
    status: 200,
    response: pageOf(z.strictObject({ id: principalId, createdAt: time })),
    errors: [],
  },
  createKey: {
    method: 'post',
    path: '/api/v1/keys',
    auth: 'credential',
    action: 'key.create',
    summary: 'Make an account key; it is shown once',
    body: z.strictObject({
      /** Whom it acts for; default: the caller, for whom it is a personal access token. */
      principal: principalId.optional(),
      name: name.optional(),
      expiresInS: z.int().positive().max(315_360_000).optional(),
    }),
    status: 201,
    response: z.strictObject({ id: z.string(), principal: principalId, key: z.string(), expiresAt: time.nullable() }),
    errors: ['client.not_found'],
  },
  listKeys: {
    method: 'get',
    path: '/api/v1/keys',
    auth: 'credential',
    action: 'key.list',
    summary: 'Account keys, without their secrets',
    query: pageQuery,
    status: 200,
    response: pageOf(tokenShape),
    errors: [],
  },
  revokeKey: {
    method: 'delete',
    path: '/api/v1/keys/{id}',
    auth: 'credential',
    action: 'key.revoke',
    summary: 'Revoke an account key',
    params: byId,
    status: 200,
    response: withdrawal,
    errors: ['client.not_found'],
  },

  createJoinToken: {
    method: 'post',
    path: '/api/v1/join-tokens',
    auth: 'credential',
    action: 'joinToken.create',
    summary: 'Make a join token; it is shown once',
    body: z.strictObject({
      operator: principalId.optional(),
      expiresInS: z.int().positive().max(2_592_000).default(86_400),
    }),
    status: 201,
    response: z.strictObject({ id: z.string(), operator: principalId, joinToken: z.string(), expiresAt: time }),
    errors: ['client.not_found'],
  },
  listJoinTokens: {
    method: 'get',
    path: '/api/v1/join-tokens',
    auth: 'credential',
    action: 'joinToken.list',
    summary: 'Join tokens, without their secrets',
    query: pageQuery,
    status: 200,
    response: pageOf(
      z.strictObject({
        id: z.string(),
        operator: principalId,
        createdAt: time,
        expiresAt: time,
        revokedAt: time.nullable(),
        uses: z.int(),
      }),
    ),
    errors: [],
  },
  revokeJoinToken: {
    method: 'delete',
    path: '/api/v1/join-tokens/{id}',
    auth: 'credential',
    action: 'joinToken.revoke',
    summary: 'Revoke a join token; nodes that it enrolled stay',
    params: byId,
    status: 200,
    response: z.strictObject({ revokedAt: time }),
    errors: ['client.not_found'],
  },

  applySubcloud: {
    method: 'put',
    path: '/api/v1/subclouds/{name}',
    auth: 'credential',
    action: 'subcloud.apply',
    summary: 'Create a Subcloud or give it a new revision',
    params: byName,
    body: z.strictObject({
      manifest: z.string().max(524_288),
      ifRevision: z.int().nonnegative().optional(),
      /** Refused where a larger share of the active members would no longer be active. */
      maxLeavePercent: z.number().min(0).max(100).optional(),
    }),
    maxBodyBytes: 786_432,
    status: 200,
    response: z.strictObject({
      change: z.enum(['created', 'updated', 'unchanged']),
      subcloud: subcloudShape,
      withdrawal,
    }),
    errors: [
      'config.invalid_manifest',
      'config.failing_tests',
      'client.conflict',
      'client.revision_conflict',
      'policy.too_many_leave',
    ],
  },
  applyNetwork: {
    method: 'put',
    path: '/api/v1/network/manifest',
    auth: 'credential',
    action: 'network.apply',
    summary: 'Apply the Network manifest, which governs the pool `global`',
    body: z.strictObject({
      manifest: z.string().max(524_288),
      ifRevision: z.int().nonnegative().optional(),
      maxLeavePercent: z.number().min(0).max(100).optional(),
    }),
    maxBodyBytes: 786_432,
    status: 200,
    response: z.strictObject({ change: z.enum(['updated', 'unchanged']), subcloud: subcloudShape, withdrawal }),
    errors: ['config.invalid_manifest', 'config.failing_tests', 'client.revision_conflict', 'policy.too_many_leave'],
  },
  listSubclouds: {
    method: 'get',
    path: '/api/v1/subclouds',
    auth: 'credential',
    action: 'subcloud.list',
    summary: 'Subclouds that the caller may know of',
    query: pageQuery,
    status: 200,
    response: pageOf(subcloudShape),
    errors: [],
  },
  getSubcloud: {
    method: 'get',
    path: '/api/v1/subclouds/{name}',
    auth: 'credential',
    action: 'subcloud.read',
    summary: 'One Subcloud with its manifest in force',
    params: byName,
    status: 200,
    response: subcloudShape.extend({ manifest: z.string() }),
    errors: ['client.not_found'],
  },
  listRevisions: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/revisions',
    auth: 'credential',
    action: 'subcloud.revisions',
    summary: 'Revisions, newest first',
    params: byName,
    query: pageQuery,
    status: 200,
    response: pageOf(
      z.strictObject({
        revision: z.int(),
        contentHash: z.string(),
        effectiveHash: z.string(),
        createdAt: time,
        createdBy: z.string(),
        manifest: z.string(),
      }),
    ),
    errors: ['client.not_found'],
  },
  deleteSubcloud: {
    method: 'delete',
    path: '/api/v1/subclouds/{name}',
    auth: 'credential',
    action: 'subcloud.delete',
    summary: 'Delete a Subcloud; its members return to where else they may serve',
    params: byName,
    status: 200,
    response: withdrawal,
    errors: ['client.not_found'],
  },

  listMembers: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/members',
    auth: 'credential',
    action: 'member.list',
    summary: 'Memberships of a Subcloud in every state',
    params: byName,
    query: pageQuery,
    status: 200,
    response: pageOf(memberShape),
    errors: ['client.not_found'],
  },
  inviteMember: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/members',
    auth: 'credential',
    action: 'member.invite',
    summary: 'Assign a node, which joins when its operator says yes',
    params: byName,
    body: z.strictObject({ node: nodeIdShape }),
    status: 200,
    response: memberShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  removeMember: {
    method: 'delete',
    path: '/api/v1/subclouds/{name}/members/{node}',
    auth: 'credential',
    action: 'member.remove',
    summary: 'Remove a node from a Subcloud',
    params: byNameAndNode,
    status: 200,
    response: withdrawal,
    errors: ['client.not_found'],
  },

  explainNode: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/explain/{node}',
    auth: 'credential',
    action: 'node.explain',
    summary: 'Why a node is in a Subcloud, or why not',
    params: z.strictObject({ name: z.string().max(63), node: nodeIdShape }),
    status: 200,
    response: z.strictObject({
      subcloud: z.string(),
      node: nodeIdShape,
      revision: z.int(),
      effectiveHash: z.string(),
      at: time,
      eligible: z.boolean(),
      state: z.string().nullable(),
      reason: z.string(),
      /** Of the state; null where the node has none. */
      since: time.nullable(),
      /** When a suspended or departed node's cooldown ends, if it is counting. */
      returnsAt: time.nullable(),
      /** Pools that the caller may know of and that the node serves besides, or instead where one holds it. */
      servesElsewhere: z.array(z.string()),
      online: z.boolean(),
      serving: z.boolean(),
      /** The node is out of service by its operator's word since then, in every pool; left out: it is not. */
      draining: z.strictObject({ since: time }).optional(),
      consent: z.strictObject({ permits: z.boolean(), why: z.string() }),
      models: z.array(z.string()),
      clauses: z.array(clauseShape),
      warnings: z.array(z.string()),
    }),
    errors: ['client.not_found'],
  },
  explainSubcloud: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/explain',
    auth: 'credential',
    action: 'subcloud.explain',
    summary: 'Nodes of the network counted by state and by reason, and requests over limits in dry run',
    params: z.strictObject({ name: z.string().max(63) }),
    status: 200,
    response: z.strictObject({
      subcloud: z.string(),
      revision: z.int(),
      considered: z.int(),
      byState: z.record(z.string(), z.int()),
      byReason: z.record(z.string(), z.int()),
      models: z.record(z.string(), z.int()),
      /** Requests of the last 24 hours that a limit in dry run would have refused: `caller requestsPerMinute` -> how many. */
      overLimit: z.record(z.string(), z.int()),
    }),
    errors: ['client.not_found'],
  },

  createToken: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/tokens',
    auth: 'credential',
    action: 'token.create',
    summary: 'Make a token that opens this Subcloud only; it is shown once',
    params: byName,
    body: z.strictObject({
      name: name.optional(),
      principal: principalId.optional(),
      expiresInS: z.int().positive().max(315_360_000).optional(),
      ...tokenTerms.shape,
    }),
    status: 201,
    response: z.strictObject({
      id: z.string(),
      subcloud: z.string(),
      principal: principalId,
      token: z.string(),
      expiresAt: time.nullable(),
    }),
    errors: ['client.not_found'],
  },
  listTokens: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/tokens',
    auth: 'credential',
    action: 'token.list',
    summary: 'Tokens of a Subcloud, without their secrets',
    params: byName,
    query: pageQuery,
    status: 200,
    response: pageOf(subcloudTokenShape),
    errors: ['client.not_found'],
  },
  rotateToken: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/tokens/{id}/rotate',
    auth: 'credential',
    action: 'token.rotate',
    summary: 'Give a token a new secret, shown once; the one before opens too for a while',
    params: byNameAndId,
    body: z.strictObject({
      /** How long the secret before still opens; 0: not at all. */
      overlapS: z.int().nonnegative().max(2_592_000).default(86_400),
    }),
    status: 200,
    response: z.strictObject({ id: z.string(), token: z.string(), previousUntil: time, withdrawal }),
    errors: ['client.not_found'],
  },
  revokeToken: {
    method: 'delete',
    path: '/api/v1/subclouds/{name}/tokens/{id}',
    auth: 'credential',
    action: 'token.revoke',
    summary: 'Revoke a token',
    params: byNameAndId,
    status: 200,
    response: withdrawal,
    errors: ['client.not_found'],
  },

  getPlaces: {
    method: 'get',
    path: '/api/v1/places',
    auth: 'credential',
    action: 'places.read',
    summary: "The admin's map from address ranges to places",
    status: 200,
    response: z.strictObject({ places: z.array(place.extend({ cidr: z.string() })) }),
    errors: [],
  },
  putPlaces: {
    method: 'put',
    path: '/api/v1/places',
    auth: 'credential',
    action: 'places.write',
    summary: 'Replace the map; every linked node is measured again',
    body: z.strictObject({
      places: z
        .array(
          z.strictObject({
            cidr: z.string().max(64),
            country: z.string().length(2),
            subdivision: z.string().max(6).optional(),
          }),
        )
        .max(10_000),
    }),
    maxBodyBytes: 1_048_576,
    status: 200,
    response: withdrawal,
    errors: ['client.invalid_request'],
  },

  getRequest: {
    method: 'get',
    path: '/api/v1/requests/{id}',
    auth: 'credential',
    action: 'request.read',
    summary: 'Why a request went where it went',
    params: byId,
    status: 200,
    response: requestShape,
    errors: ['client.not_found'],
  },
  listUsage: {
    method: 'get',
    path: '/api/v1/usage',
    auth: 'credential',
    action: 'usage.list',
    summary: 'Usage summed by what is asked for: all for the admin, else the own, and all of the own Subclouds',
    query: usageQuery,
    status: 200,
    response: pageOf(usageShape),
    errors: [],
  },
});
export type ControlRoutes = typeof controlRoutes;
export type ControlRouteName = keyof ControlRoutes;
