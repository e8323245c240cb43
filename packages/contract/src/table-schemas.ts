/**
 * The shape of each row of the routing table, strictly: a field that a gateway does not know may be a restriction that it
 * would not enforce, so it refuses the table rather than ignore the field.
 */
import * as z from 'zod';
import { signedDocument, trustChain, publicKeyText } from './documents.ts';
import type { RowKind, RowTypes } from './table.ts';
import { modelId, principalId } from './vocabulary.ts';

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
    access: z.strictObject({ tokens: z.boolean() }),
    candidates: count,
    excluded: z.record(z.string().max(64), count),
    models: z.array(modelId).max(65_536).optional(),
    aliases: z.record(modelId, modelId).optional(),
  }),
  node: z.strictObject({
    id,
    publicKey: publicKeyText,
    operator: principalId,
    measuredAddress: z.string().max(64).nullable(),
    concurrency: z.int().positive().nullable(),
  }),
  member: z.strictObject({
    pool: poolName,
    node: id,
    models: z.array(modelId).max(1024),
    validUntil: timeMs.nullable(),
    cut: z.literal(true).optional(),
  }),
  credential: z.strictObject({
    id,
    kind: z.enum(['account', 'subcloud']),
    principal: principalId,
    pool: poolName.nullable(),
    expiresAt: timeMs.nullable(),
  }),
  document: z.strictObject({ node: id, epoch: count, serial: count, document: signedDocument }),
};
