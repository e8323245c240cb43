/**
 * The manifest as this build enforces it. What the format knows beyond this is listed in `not-enforced.ts` and refused
 * by name: nothing is accepted and ignored.
 */
import * as z from 'zod';
import { principalId, subcloudName } from './consent.ts';

/** A model id as the network knows it, for example `meta-llama/Llama-3.1-8B-Instruct`. */
export const modelId = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\s*?[\]{}]+$/, 'must be an exact model id without white space or glob characters');
const placeName = z.string().min(2).max(32);
const labelKey = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, 'must be 1 to 128 of A-Z a-z 0-9 . _ / -');
export const labelsSchema = z
  .record(labelKey, z.string().max(256))
  .refine((labels) => Object.keys(labels).length <= 64, 'at most 64 labels');

export const modelsClause = z.strictObject({
  allow: z
    .array(z.strictObject({ id: modelId }))
    .min(1)
    .max(1024)
    .optional(),
});
export const nodesClause = z.strictObject({
  location: z
    .strictObject({
      in: z.array(placeName).min(1).max(512).optional(),
      notIn: z.array(placeName).min(1).max(512).optional(),
      source: z.enum(['declared', 'measured']).default('measured'),
    })
    .refine((clause) => clause.in !== undefined || clause.notIn !== undefined, 'needs `in` or `notIn`')
    .optional(),
  operators: z.strictObject({ in: z.array(principalId).min(1).max(1024) }).optional(),
  labels: labelsSchema.refine((labels) => Object.keys(labels).length > 0, 'needs at least one label').optional(),
});

/** Names that would be mistaken for something else in a URL or a sentence. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set([
  'global',
  'network',
  'subcloud',
  'api',
  'admin',
  'all',
  'none',
  'default',
]);

export const subcloudManifest = z.strictObject({
  apiVersion: z.literal('subcloud/v1'),
  kind: z.literal('Subcloud'),
  metadata: z.strictObject({
    name: subcloudName.refine((name) => !RESERVED_NAMES.has(name), 'is a reserved name'),
    owner: principalId.optional(),
    displayName: z.string().min(1).max(128).optional(),
    labels: labelsSchema.optional(),
  }),
  spec: z.strictObject({
    models: modelsClause.default({}),
    nodes: nodesClause.default({}),
    participation: z
      .strictObject({ mode: z.enum(['open', 'private']).default('private'), autoJoin: z.boolean().default(false) })
      .refine((value) => !(value.mode === 'private' && value.autoJoin), {
        error: 'autoJoin needs mode: open; with private only the owner assigns nodes',
        path: ['autoJoin'],
      })
      .default({ mode: 'private', autoJoin: false }),
    isolation: z.enum(['shared', 'isolate']).default('shared'),
    access: z.strictObject({ tokens: z.boolean().default(false) }).default({ tokens: false }),
  }),
});
export type SubcloudManifest = z.infer<typeof subcloudManifest>;
export type SubcloudSpec = SubcloudManifest['spec'];

/** The Network manifest governs the pool `global`. Only its default is in force: any node whose operator permits it, any account. */
export const networkManifest = z.strictObject({
  apiVersion: z.literal('subcloud/v1'),
  kind: z.literal('Network'),
  metadata: z.strictObject({ name: z.literal('global') }).default({ name: 'global' }),
  spec: z.strictObject({}).default({}),
});
export type NetworkManifest = z.infer<typeof networkManifest>;
export const GLOBAL_POOL = 'global';

export const GLOBAL_SPEC: SubcloudSpec = {
  models: {},
  nodes: {},
  participation: { mode: 'open', autoJoin: true },
  isolation: 'shared',
  access: { tokens: false },
};

/** Measured facts older than this are unknown; `nodes.maxAge` is not in force yet. */
export const DEFAULT_MAX_AGE_MS = 600_000;
