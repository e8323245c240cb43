/** What would change, and what has changed: plans, drafts, what-if, revisions compared and brought back. */
import { testNode } from '@subcloud/policy/policy-test-schema';
import * as z from 'zod';
import { subcloudName } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';
import { clauseShape, nodeIdShape, subcloudShape, time, withdrawal } from './shapes.ts';

const byName = z.strictObject({ name: subcloudName });
const manifestText = z.string().max(524_288);
const MAX_MANIFEST_BODY_BYTES = 786_432;
const revision = z.coerce.number().int().positive().max(2_147_483_647);

/** `kind`: into `active`; out of the Subcloud; into `suspended`; any other change of state. */
export const planMove = z.strictObject({
  kind: z.enum(['join', 'leave', 'suspend', 'other']),
  node: nodeIdShape,
  nodeName: z.string(),
  /** The pool: the Subcloud that changes, or another that gains or loses the node by it. */
  subcloud: z.string(),
  from: z.string().nullable(),
  to: z.string().nullable(),
  why: z.string(),
});
const total = z.strictObject({
  /** Active members. */
  members: z.int(),
  /** Requests at a time, over the members that declare how many they take. */
  concurrency: z.int(),
  /** Members that declare none. */
  undeclared: z.int(),
});
export const planShape = z.strictObject({
  subcloud: z.string(),
  change: z.enum(['create', 'update', 'delete', 'none']),
  /** In force; 0 where there is none yet. */
  revision: z.int(),
  at: time,
  /** What would change, as far as the reader may see the nodes, the Subcloud's own first; at most 1,000. */
  moves: z.array(planMove),
  /** Of the Subcloud itself, over all nodes. `unchanged`: members in any state that stay as they are. */
  counts: z.strictObject({
    join: z.int(),
    leave: z.int(),
    suspend: z.int(),
    other: z.int(),
    unchanged: z.int(),
    /** Active members that would no longer be active. */
    activeLost: z.int(),
  }),
  capacity: z.strictObject({ before: total, after: total }),
  /** Models that gain or lose nodes in the Subcloud. */
  models: z.array(z.strictObject({ model: z.string(), before: total, after: total })),
  /** Pools that the reader may know of and that gain or lose active members by it. */
  elsewhere: z.array(
    z.strictObject({
      subcloud: z.string(),
      gain: z.int(),
      lose: z.int(),
      models: z.array(z.strictObject({ model: z.string(), before: z.int(), after: z.int() })),
    }),
  ),
  /** The same, summed over pools that the reader may not know of. */
  hidden: z.strictObject({ gain: z.int(), lose: z.int() }),
  /** Tests of the manifest that do not hold. While there is one, the manifest cannot be applied. */
  failingTests: z.array(z.strictObject({ name: z.string(), message: z.string() })),
});
export type Plan = z.infer<typeof planShape>;

const draftShape = z.strictObject({
  subcloud: z.string(),
  manifest: z.string(),
  contentHash: z.string(),
  createdAt: time,
  createdBy: z.string(),
});
const shadow = z.strictObject({ draft: draftShape, plan: planShape });

const outcome = z.strictObject({
  eligible: z.boolean(),
  state: z.string().nullable(),
  reason: z.string(),
  models: z.array(z.string()),
});

export const planRoutes = defineRoutes({
  planSubcloud: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/plan',
    auth: 'credential',
    action: 'subcloud.plan',
    readOnly: 'asks with a body',
    summary: 'What an apply would change, or a deletion; nothing is stored',
    params: byName,
    /** Null: what deleting it would change. */
    body: z.strictObject({ manifest: manifestText.nullable() }),
    maxBodyBytes: MAX_MANIFEST_BODY_BYTES,
    status: 200,
    response: planShape,
    errors: ['config.invalid_manifest', 'client.conflict', 'client.not_found'],
  },
  whatIf: {
    method: 'post',
    path: '/api/v1/nodes/{id}/what-if',
    auth: 'credential',
    action: 'node.whatIf',
    readOnly: 'asks with a body',
    summary: 'What would be decided of a node if it had these facts; facts that are not given stay as they are',
    params: z.strictObject({ id: nodeIdShape }),
    body: z.strictObject({ facts: testNode }),
    status: 200,
    response: z.strictObject({
      node: nodeIdShape,
      at: time,
      items: z.array(
        z.strictObject({
          subcloud: z.string(),
          revision: z.int(),
          current: outcome,
          supposed: outcome,
          /** With the facts supposed. */
          clauses: z.array(clauseShape),
        }),
      ),
    }),
    errors: ['client.not_found'],
  },
  putDraft: {
    method: 'put',
    path: '/api/v1/subclouds/{name}/draft',
    auth: 'credential',
    action: 'subcloud.shadow',
    summary: 'Store a draft that is decided beside the revision in force and changes nothing',
    params: byName,
    body: z.strictObject({ manifest: manifestText }),
    maxBodyBytes: MAX_MANIFEST_BODY_BYTES,
    status: 200,
    response: shadow,
    errors: ['config.invalid_manifest', 'client.not_found'],
  },
  getDraft: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/draft',
    auth: 'credential',
    action: 'subcloud.shadow',
    summary: 'The draft and what it would change now',
    params: byName,
    status: 200,
    response: shadow,
    errors: ['client.not_found', 'config.invalid_manifest'],
  },
  deleteDraft: {
    method: 'delete',
    path: '/api/v1/subclouds/{name}/draft',
    auth: 'credential',
    action: 'subcloud.shadow',
    summary: 'Forget the draft',
    params: byName,
    status: 200,
    response: z.strictObject({ ended: z.boolean() }),
    errors: ['client.not_found'],
  },
  diffRevisions: {
    method: 'get',
    path: '/api/v1/subclouds/{name}/diff',
    auth: 'credential',
    action: 'subcloud.revisions',
    summary: 'What two revisions say differently, by path; default: the one in force and the one before it',
    params: byName,
    query: z.strictObject({ from: revision.optional(), to: revision.optional() }),
    status: 200,
    response: z.strictObject({
      subcloud: z.string(),
      /** 0: before the first revision. */
      from: z.int(),
      to: z.int(),
      changes: z.array(
        z.strictObject({
          /** Dotted; an entry of a list that has an id or a name is told by it: `spec.models.allow[tiny].alias`. */
          path: z.string(),
          kind: z.enum(['added', 'removed', 'changed']),
          before: z.unknown(),
          after: z.unknown(),
        }),
      ),
    }),
    errors: ['client.not_found'],
  },
  rollbackSubcloud: {
    method: 'post',
    path: '/api/v1/subclouds/{name}/rollback',
    auth: 'credential',
    action: 'subcloud.apply',
    summary: 'Give the Subcloud a new revision with the content of an old one',
    params: byName,
    body: z.strictObject({
      revision: z.int().positive().max(2_147_483_647),
      ifRevision: z.int().nonnegative().optional(),
      maxLeavePercent: z.number().min(0).max(100).optional(),
    }),
    status: 200,
    response: z.strictObject({
      change: z.enum(['created', 'updated', 'unchanged']),
      subcloud: subcloudShape,
      withdrawal,
    }),
    errors: [
      'client.not_found',
      'client.revision_conflict',
      'config.invalid_manifest',
      'config.failing_tests',
      'policy.too_many_leave',
    ],
  },
});
