/**
 * `tests` of a manifest: nodes that must, or must not, be eligible. Facts of a test node are written short; a fact that is
 * not given is unknown. A test without `models` judges the clauses under `nodes` alone.
 */
import * as z from 'zod';
import { GPU_NAMES } from './gpu-names.ts';
import { MODALITIES, QUANTIZATIONS, TRUST_LEVELS } from './scales.ts';
import { amountText, durationText } from './units.ts';
import { digestText, labelsSchema, modelId } from './words.ts';

const SOURCES = ['declared', 'measured', 'attested'] as const;
/** Where a test's fact comes from; default: the clause's own default source. */
const origin = {
  source: z.enum(SOURCES).optional(),
  by: z.string().min(1).max(64).optional(),
  age: durationText.optional(),
};
const country = z.string().regex(/^[A-Z]{2}$/, 'must be an ISO 3166-1 alpha-2 code');
const subdivision = z.string().regex(/^[A-Z]{2}-[A-Z0-9]{1,3}$/, 'must be an ISO 3166-2 code');

export const testNode = z.strictObject({
  operator: z.string().max(160).optional(),
  location: z.strictObject({ country, subdivision: subdivision.optional(), ...origin }).optional(),
  operatorSeat: z.strictObject({ country, subdivision: subdivision.optional(), ...origin }).optional(),
  models: z
    .array(
      z.strictObject({
        id: modelId,
        digest: digestText.optional(),
        quantization: z.enum(QUANTIZATIONS).optional(),
        modalities: z.array(z.enum(MODALITIES)).max(8).optional(),
        contextLength: z.int().positive().optional(),
        audited: z
          .array(z.strictObject({ by: z.string().min(1).max(64), age: durationText.optional() }))
          .max(16)
          .optional(),
      }),
    )
    .max(64)
    .optional(),
  hardware: z
    .strictObject({
      gpus: z
        .array(
          z.strictObject({
            model: z.enum(GPU_NAMES).optional(),
            vramGiB: z.number().positive().optional(),
            confidential: z.boolean().optional(),
            count: z.int().positive().max(64).default(1),
          }),
        )
        .max(64),
      ...origin,
    })
    .optional(),
  trust: z
    .strictObject({
      level: z.enum(TRUST_LEVELS).optional(),
      reputation: z.number().min(0).max(1).optional(),
      stake: amountText.optional(),
      ...origin,
    })
    .optional(),
  uptime: z.strictObject({ d30: z.number().min(0).max(1), ...origin }).optional(),
  labels: labelsSchema.optional(),
});
export type TestNode = z.infer<typeof testNode>;

export const policyTests = z
  .array(
    z.strictObject({
      name: z.string().min(1).max(200),
      node: testNode,
      expect: z.strictObject({
        eligible: z.boolean(),
        /** Clauses that must be among those that fail. */
        failing: z.array(z.string().max(64)).max(32).optional(),
        /** Ids of the models that pass, all of them, in any order. */
        models: z.array(modelId).max(64).optional(),
      }),
    }),
  )
  .max(256);
export type PolicyTest = z.infer<typeof policyTests>[number];
