/**
 * The shape of each row of the routing table, strictly: a field that a gateway does not know may be a restriction that it
 * would not enforce, so it refuses the table rather than ignore the field.
 */
import { apisClause } from '@subcloud/policy/internal-api';
import { INPUT_MODALITIES } from '@subcloud/policy/model-inputs';
import * as z from 'zod';
import { signedDocument, trustChain, publicKeyText } from './documents.ts';
import { MAX_BANNED_CALLERS, MAX_PLACES_OF_NODE, type RowKind, type RowTypes } from './table.ts';
import { TOKEN_SCOPES, accessLimits, cidrText, limitSet, modelId, principalId } from './vocabulary.ts';

const id = z.string().min(1).max(128);
const poolName = z.string().min(1).max(63);
const count = z.int().nonnegative();
const timeMs = z.number().nonnegative();

export const rowSchemas: { readonly [Kind in RowKind]: z.ZodType<RowTypes[Kind]> } = {
  network: z.strictObject({ networkId: id, chain: trustChain }),
  pool: z.strictObject({
    id,
    name: poolName,
    owner: principalId.nullable(),
    revision: count,
    effectiveHash: z.string().max(64),
    isolation: z.enum(['shared', 'isolate', 'exclusive']),
    access: z.strictObject({
      require: z.enum(['any', 'all']).optional(),
      tokens: z.boolean(),
      whitelist: z
        .strictObject({ principals: z.array(principalId).max(1_536), cidrs: z.array(cidrText).max(256) })
        .optional(),
      binding: z.literal(true).optional(),
      limits: accessLimits.optional(),
    }),
    banned: z.array(principalId).min(1).max(MAX_BANNED_CALLERS).optional(),
    candidates: count,
    excluded: z.record(z.string().max(64), count),
    models: z.array(modelId).max(65_536).optional(),
    routing: z
      .strictObject({
        objective: z.enum(['latency', 'affinity']).optional(),
        retries: z.int().min(0).max(5).optional(),
        midstream: z.literal('continue').optional(),
        stallTimeoutMs: z.int().positive().max(600_000).optional(),
        queue: z.strictObject({ max: z.int().positive().max(10_000), timeoutMs: z.int().positive() }).optional(),
      })
      .optional(),
    reserve: z.int().positive().optional(),
    apis: apisClause.optional(),
    aliases: z.record(modelId, modelId).optional(),
  }),
  node: z.strictObject({
    id,
    publicKey: publicKeyText,
    operator: principalId,
    measuredAddress: z.string().max(64).nullable(),
    concurrency: z.int().positive().nullable(),
    places: z
      .array(
        z.strictObject({
          country: z.string().regex(/^[A-Z]{2}$/),
          subdivision: z
            .string()
            .regex(/^[A-Z]{2}-[A-Z0-9]{1,3}$/)
            .optional(),
        }),
      )
      .min(1)
      .max(MAX_PLACES_OF_NODE)
      .optional(),
    placesUntil: timeMs.optional(),
    draining: z.literal(true).optional(),
    inputs: z.record(modelId, z.array(z.enum(INPUT_MODALITIES)).min(1).max(INPUT_MODALITIES.length)).optional(),
  }),
  member: z.strictObject({
    pool: poolName,
    node: id,
    models: z.array(modelId).max(1024),
    validUntil: timeMs.nullable(),
    share: z.number().positive().max(1).optional(),
    cut: z.literal(true).optional(),
  }),
  credential: z.strictObject({
    id,
    kind: z.enum(['account', 'subcloud']),
    principal: principalId,
    pool: poolName.nullable(),
    expiresAt: timeMs.nullable(),
    scopes: z.array(z.enum(TOKEN_SCOPES)).min(1).max(TOKEN_SCOPES.length).optional(),
    models: z.array(z.string().min(1).max(256)).min(1).max(256).optional(),
    limits: limitSet.optional(),
    binding: poolName.optional(),
  }),
  principal: z.strictObject({
    id: principalId,
    groups: z.array(principalId).max(1_024),
    binding: poolName.optional(),
  }),
  document: z.strictObject({ node: id, epoch: count, serial: count, document: signedDocument }),
};
