/**
 * The manifest as this build enforces it. What the format knows beyond this is listed in `not-enforced.ts` and refused
 * by name: nothing is accepted and ignored.
 */
import * as z from 'zod';
import { OPEN_ACCESS, accessClause } from './access.ts';
import { ISOLATIONS, principalId, subcloudName } from './consent.ts';
import { CLAIM_SOURCES } from './facts.ts';
import { GPU_NAMES } from './gpu-names.ts';
import { policyTests } from './policy-test-schema.ts';
import { apisClause } from './internal-api.ts';
import { MODALITIES, QUANTIZATIONS, TRUST_LEVELS } from './scales.ts';
import { amountText, durationMs, durationText, percentText } from './units.ts';
import { digestText, labelsSchema, modelId, placeName } from './words.ts';

export { labelsSchema, modelId } from './words.ts';

/** An exact id, or a glob: `*` any run without `/`, `**` any run, `?` one character. */
const modelPattern = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\s[\]{}]+$/, 'must be a model id, or a glob of * and ?');
const issuers = z
  .array(z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be the name of an attester'))
  .min(1)
  .max(64);
const source = z.enum(CLAIM_SOURCES);
/** On every clause: the least source that suffices, or a list of sources that must each pass; and whose attestations count. */
const provenance = { source: z.union([source, z.array(source).min(1).max(3)]).optional(), by: issuers.optional() };

function range(number: z.ZodNumber) {
  return z
    .strictObject({ min: number.optional(), max: number.optional() })
    .refine(({ min, max }) => min !== undefined || max !== undefined, 'needs `min` or `max`')
    .refine(({ min = -Infinity, max = Infinity }) => min <= max, '`min` is larger than `max`');
}
const places = z.array(placeName).min(1).max(512);
const placesClause = z
  .strictObject({ in: places.optional(), notIn: places.optional(), ...provenance })
  .refine((clause) => clause.in !== undefined || clause.notIn !== undefined, 'needs `in` or `notIn`');

const allowEntry = z
  .strictObject({
    id: modelPattern,
    /** A further name that callers may use inside this Subcloud. */
    alias: modelId.optional(),
    digest: digestText.optional(),
    audited: z.strictObject({ by: issuers, maxAge: durationText.optional() }).optional(),
  })
  .refine(({ id, alias }) => alias === undefined || !/[*?]/.test(id), {
    error: 'an alias names exactly one exact id',
    path: ['alias'],
  });
const allowList = z
  .array(allowEntry)
  .min(1)
  .max(1024)
  .superRefine((entries, context) => {
    const taken = new Set(entries.map(({ id }) => id));
    entries.forEach(({ alias }, index) => {
      if (alias === undefined) return;
      if (taken.has(alias))
        context.addIssue({
          code: 'custom',
          path: [index, 'alias'],
          message: 'must be no other name in this manifest',
        });
      taken.add(alias);
    });
  });
const modalities = z.array(z.enum(MODALITIES)).min(1).max(8);

export const modelsClause = z.strictObject({
  allow: allowList.optional(),
  quantization: z.strictObject({ min: z.enum(QUANTIZATIONS) }).optional(),
  modalities: z
    .strictObject({ all: modalities.optional(), any: modalities.optional() })
    .refine(({ all, any }) => all !== undefined || any !== undefined, 'needs `all` or `any`')
    .optional(),
  dedicated: z.boolean().default(false),
  private: z.boolean().default(false),
});
export type ModelsClause = z.infer<typeof modelsClause>;

export const nodesClause = z.strictObject({
  location: placesClause.optional(),
  operatorSeat: placesClause.optional(),
  hardware: z
    .strictObject({
      gpu: z.strictObject({
        model: z.array(z.enum(GPU_NAMES)).min(1).max(GPU_NAMES.length).optional(),
        vramGiB: range(z.number().positive().max(100_000)).optional(),
        count: range(z.int().positive().max(100_000)).optional(),
        confidential: z.boolean().optional(),
      }),
      ...provenance,
    })
    .optional(),
  trust: z
    .strictObject({
      level: z.enum(TRUST_LEVELS).optional(),
      reputation: z.strictObject({ min: z.number().min(0).max(1) }).optional(),
      stake: z.strictObject({ min: amountText }).optional(),
      ...provenance,
    })
    .refine(
      ({ level, reputation, stake }) => level !== undefined || reputation !== undefined || stake !== undefined,
      'needs `level`, `reputation` or `stake`',
    )
    .optional(),
  operators: z.strictObject({ in: z.array(principalId).min(1).max(1024) }).optional(),
  labels: labelsSchema.refine((labels) => Object.keys(labels).length > 0, 'needs at least one label').optional(),
  /** CEL; checked by `parse-manifest.ts` when a policy is saved. */
  where: z.string().min(1).max(4_096).optional(),
  maxAge: durationText.default('10m'),
});
export type NodesClause = z.infer<typeof nodesClause>;

/** Names that would be mistaken for something else in a URL or a sentence. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set([
  // The network itself.
  'global',
  'network',
  'subcloud',
  'subclouds',
  // Words of consent and of listings.
  'all',
  'none',
  'any',
  'default',
  'system',
  // Paths and hosts beside which a pool's name stands.
  'admin',
  'api',
  'apis',
  'app',
  'dashboard',
  'docs',
  'healthz',
  'localhost',
  'metrics',
  'readyz',
  's',
  'v1',
  'www',
]);

export const DEFAULT_MAX_AGE_MS = 600_000;
export const DEFAULT_COOLDOWN = '10m';
export const ANY_MODEL: ModelsClause = { dedicated: false, private: false };
const ANY_NODE: NodesClause = { maxAge: '10m' };

/** Requests that wait in one pool hold their bodies meanwhile. */
const MAX_QUEUE = 10_000;
const DEFAULT_QUEUE = 256;

/** How requests are routed inside the pool. Absent: by latency, two retries, no continuation. */
export const routingClause = z.strictObject({
  objective: z.enum(['latency', 'affinity']).optional(),
  retries: z.int().min(0).max(5).optional(),
  midstream: z.enum(['continue', 'fail']).optional(),
  /** Longest silence of a node in the middle of an answer. Absent: a minute. */
  stallTimeout: durationText
    .refine((text) => durationMs(text) >= 1_000 && durationMs(text) <= 600_000, 'must be from 1s to 10m')
    .optional(),
  /** Where requests wait while all nodes have as many as they take. Absent: they do not wait. */
  queue: z
    .strictObject({
      max: z.int().min(1).max(MAX_QUEUE).default(DEFAULT_QUEUE),
      timeout: durationText
        .refine((text) => durationMs(text) >= 100 && durationMs(text) <= 600_000, 'must be from 100ms to 10m')
        .default('20s'),
    })
    .optional(),
});
export type RoutingClause = z.infer<typeof routingClause>;

/** What of the quality of service is in force; the rest is in `not-enforced.ts`. */
export const slaClause = z.strictObject({
  capacity: z
    .strictObject({
      /** Requests at the same time, over all members, whose places other pools may not take. */
      reserve: z.int().min(1).max(1_000_000).optional(),
    })
    .optional(),
});

/** One of the ways into a semi-open Subcloud: the owner's approval, or a stake that somebody attests. */
const admission = z.union([z.literal('approval'), z.strictObject({ stake: amountText })]);

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
    models: modelsClause.default(ANY_MODEL),
    nodes: nodesClause.default(ANY_NODE),
    participation: z
      .strictObject({
        mode: z.enum(['open', 'semi-open', 'private']).default('private'),
        /** Of `semi-open`: what lets in a node that asks. Absent: the owner's approval. */
        admit: z.strictObject({ any: z.array(admission).min(1).max(8) }).optional(),
        autoJoin: z.boolean().default(false),
        cooldown: durationText.default(DEFAULT_COOLDOWN),
      })
      .refine((value) => !(value.mode === 'private' && value.autoJoin), {
        error: 'autoJoin needs mode: open or semi-open; with private only the owner assigns nodes',
        path: ['autoJoin'],
      })
      .refine((value) => value.mode === 'semi-open' || value.admit === undefined, {
        error: 'admit needs mode: semi-open',
        path: ['admit'],
      })
      .default({ mode: 'private', autoJoin: false, cooldown: DEFAULT_COOLDOWN }),
    isolation: z.enum(ISOLATIONS).default('shared'),
    access: accessClause.default(OPEN_ACCESS),
    sla: slaClause.optional(),
    routing: routingClause.optional(),
    apis: apisClause.optional(),
    tests: policyTests.default([]),
  }),
});
export type SubcloudManifest = z.infer<typeof subcloudManifest>;
export type SubcloudSpec = SubcloudManifest['spec'];

/** At most this share of the network's nodes may be held, by auto-join, by Subclouds that isolate. */
export const DEFAULT_ISOLATION_SHARE = '50%';
const ISOLATION_RULES = { maxShare: DEFAULT_ISOLATION_SHARE };

/**
 * The Network manifest governs the pool `global`: which models and which nodes of those whose operators permit it,
 * and which callers. Its `isolation` governs who may take nodes out of that pool, and how many without being named.
 */
export const networkManifest = z.strictObject({
  apiVersion: z.literal('subcloud/v1'),
  kind: z.literal('Network'),
  metadata: z.strictObject({ name: z.literal('global').default('global') }).default({ name: 'global' }),
  spec: z
    .strictObject({
      models: modelsClause.default(ANY_MODEL),
      nodes: nodesClause.default(ANY_NODE),
      access: accessClause.default(OPEN_ACCESS),
      sla: slaClause.optional(),
      routing: routingClause.optional(),
      isolation: z
        .strictObject({
          allowedTo: z.array(principalId).max(1024).optional(),
          maxShare: percentText.default(DEFAULT_ISOLATION_SHARE),
        })
        .default(ISOLATION_RULES),
      tests: policyTests.default([]),
    })
    .default({ models: ANY_MODEL, nodes: ANY_NODE, access: OPEN_ACCESS, isolation: ISOLATION_RULES, tests: [] }),
});
export type NetworkManifest = z.infer<typeof networkManifest>;
export const GLOBAL_POOL = 'global';

/** The pool `global` under the Network manifest's default: open to every node whose operator permits it, and to every account. */
export const GLOBAL_SPEC: SubcloudSpec = {
  models: ANY_MODEL,
  nodes: ANY_NODE,
  participation: { mode: 'open', autoJoin: true, cooldown: '0s' },
  isolation: 'shared',
  access: OPEN_ACCESS,
  tests: [],
};
