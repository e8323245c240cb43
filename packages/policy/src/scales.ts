/** Ordered scales of the manifest, weakest first. */
export const QUANTIZATIONS = ['int4', 'int8', 'fp8', 'fp16', 'bf16', 'fp32'] as const;
export type Quantization = (typeof QUANTIZATIONS)[number];
export const MODALITIES = ['text', 'image', 'audio', 'video', 'embedding'] as const;
export type Modality = (typeof MODALITIES)[number];
export const TRUST_LEVELS = ['unverified', 'identified', 'verified', 'audited'] as const;
export type TrustLevel = (typeof TRUST_LEVELS)[number];

/** int4 < int8 < fp8 < fp16 = bf16 < fp32. */
const QUANTIZATION_RANK: Readonly<Record<Quantization, number>> = {
  int4: 0,
  int8: 1,
  fp8: 2,
  fp16: 3,
  bf16: 3,
  fp32: 4,
};

export function quantizationAtLeast(seen: Quantization, least: Quantization): boolean {
  return QUANTIZATION_RANK[seen] >= QUANTIZATION_RANK[least];
}
export function trustAtLeast(seen: TrustLevel, least: TrustLevel): boolean {
  return TRUST_LEVELS.indexOf(seen) >= TRUST_LEVELS.indexOf(least);
}
