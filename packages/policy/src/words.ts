/** Single words of manifests and declarations. */
import * as z from 'zod';

const MODEL_ID = /^[^\s*?[\]{}]{1,256}$/;

/** A model id as the network knows it, for example `meta-llama/Llama-3.1-8B-Instruct`. */
export const modelId = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\s*?[\]{}]+$/, 'must be an exact model id without white space or glob characters');
/** The same, where a schema would cost more than it finds. */
export function isModelId(text: string): boolean {
  return MODEL_ID.test(text);
}
export const digestText = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hex digits');
/** A code, a domain of the network, or one of an owner: `org:acme/PLANTS`. */
export const placeName = z.string().min(2).max(240);
const labelKey = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, 'must be 1 to 128 of A-Z a-z 0-9 . _ / -');
export const labelsSchema = z
  .record(labelKey, z.string().max(256))
  .refine((labels) => Object.keys(labels).length <= 64, 'at most 64 labels');
