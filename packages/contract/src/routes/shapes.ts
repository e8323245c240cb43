/** Shapes that several routes share. Times are ISO 8601 in UTC; ids are opaque. */
import * as z from 'zod';
import { TOKEN_SCOPES, limitSet, consentSchema, principalId, subcloudName } from '../vocabulary.ts';

export const nodeIdShape = z.string().regex(/^nod_[0-9a-z]{1,64}$/, 'must be a node id (nod_…)');
export const time = z.iso.datetime();
export const name = z.string().min(1).max(128);

/** Cursor paging: `next` is passed back as `cursor`; null ends the list. */
export const pageQuery = z.strictObject({
  cursor: z.string().max(256).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
});
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.strictObject({ items: z.array(item), next: z.string().nullable() });
}

/**
 * What every change that withdraws something answers. `complete`: every gateway with a live lease routes by the new rule
 * already. Else the gateways that have not confirmed, and when their leases end.
 */
export const withdrawal = z.strictObject({
  complete: z.boolean(),
  tableVersion: z.int(),
  outstanding: z.array(z.strictObject({ gateway: z.string(), leaseEndsAt: time })),
});
export type Withdrawal = z.infer<typeof withdrawal>;

export const place = z.strictObject({ country: z.string(), subdivision: z.string().optional() });

export const claimShape = z.strictObject({
  id: z.string(),
  fact: z.string(),
  value: z.unknown(),
  source: z.enum(['declared', 'measured', 'attested']),
  issuer: z.string(),
  issuedAt: time,
  confirmedAt: time,
  expiresAt: time.nullable(),
});

export const MEMBERSHIP_STATES = [
  'requested',
  'invited',
  'active',
  'suspended',
  'draining',
  'left',
  'removed',
  'banned',
] as const;
export type MembershipState = (typeof MEMBERSHIP_STATES)[number];

export const memberShape = z.strictObject({
  subcloud: z.string(),
  node: nodeIdShape,
  nodeName: z.string(),
  operator: principalId,
  state: z.enum(MEMBERSHIP_STATES),
  /** Why it is in this state: a clause's name, `consent`, `joined`, `removed by owner`, … */
  reason: z.string(),
  since: time,
  activeSince: time.nullable(),
  online: z.boolean(),
  /** True when the gateway may route to it right now: active, document acknowledged, not drained by its operator. */
  serving: z.boolean(),
  models: z.array(z.string()),
  /** Left out: no. Of the node as a whole, whatever the state of this membership. */
  draining: z.strictObject({ since: time }).optional(),
});
export type Member = z.infer<typeof memberShape>;

/** A node out of service by its operator's word, and how far that is. */
export const drainShape = z.strictObject({
  since: time,
  by: z.string(),
  reason: z.string().nullable(),
  /** `drained`: every gateway that may serve knows it, and nothing is in flight there; nothing new will be. */
  state: z.enum(['draining', 'drained']),
  /** Requests under way there, over all gateways; null while a gateway has yet to say. */
  inFlight: z.int().nullable(),
});
export type Drain = z.infer<typeof drainShape>;

export const nodeShape = z.strictObject({
  id: nodeIdShape,
  name: z.string(),
  operator: principalId,
  online: z.boolean(),
  enrolledAt: time,
  lastSeenAt: time.nullable(),
  address: z.string().nullable(),
  agentVersion: z.string().nullable(),
  models: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
  location: z.array(place),
  pools: z.array(z.strictObject({ pool: z.string(), state: z.string(), reason: z.string() })),
  /** Left out: it is in service. */
  draining: drainShape.optional(),
  warnings: z.array(z.string()),
});
export type NodeSummary = z.infer<typeof nodeShape>;
export const nodeDetailShape = nodeShape.extend({
  publicKey: z.string(),
  consent: consentSchema.nullable(),
  claims: z.array(claimShape),
});
export type NodeDetail = z.infer<typeof nodeDetailShape>;

export const subcloudShape = z.strictObject({
  id: z.string(),
  name: subcloudName,
  /** Null for `global`, which the network's admin holds. */
  owner: principalId.nullable(),
  displayName: z.string().nullable(),
  revision: z.int(),
  effectiveHash: z.string(),
  participation: z.string(),
  isolation: z.string(),
  createdAt: time,
  updatedAt: time,
  members: z.record(z.string(), z.int()),
  /** Active members by model. */
  models: z.record(z.string(), z.int()),
});
export type SubcloudSummary = z.infer<typeof subcloudShape>;

export const clauseShape = z.strictObject({
  clause: z.string(),
  pass: z.boolean(),
  unknown: z.boolean(),
  wanted: z.string(),
  seen: z.string(),
  source: z.string().nullable(),
  issuer: z.string().nullable(),
  ageMs: z.number().nullable(),
  fix: z.string().nullable(),
});

export const tokenShape = z.strictObject({
  id: z.string(),
  name: z.string().nullable(),
  principal: principalId,
  createdAt: time,
  expiresAt: time.nullable(),
  revokedAt: time.nullable(),
  /** To the minute; null: never. */
  lastUsedAt: time.nullable(),
});

/** What a token may be narrowed to; left out: not narrowed. */
export const tokenTerms = z.strictObject({
  scopes: z.array(z.enum(TOKEN_SCOPES)).min(1).max(TOKEN_SCOPES.length).optional(),
  /** Ids, aliases and globs of models. */
  models: z
    .array(
      z
        .string()
        .min(1)
        .max(256)
        .regex(/^[^\s[\]{}]+$/, 'must be a model id, or a glob of * and ?'),
    )
    .min(1)
    .max(256)
    .optional(),
  limits: limitSet.optional(),
});
export type TokenTerms = z.infer<typeof tokenTerms>;

export const subcloudTokenShape = tokenShape.extend({
  ...tokenTerms.shape,
  /** Until then the secret before the last rotation opens too. */
  previousUntil: time.nullable(),
});
