/**
 * What engines call a quantisation, on the policy's scale. The scale has no step below four bits and none between, so a
 * name is rounded down: a model never counts for more than it is. What lies below the scale, and every name that is not
 * in this table, is unknown.
 */
import type { Quantization } from '@subcloud/policy/scales';

const TABLE: readonly (readonly [pattern: RegExp, step: Quantization])[] = [
  // Whole weights: GGUF file types, safetensors and torch names.
  [/^(all )?(f32|fp32|float32)$/, 'fp32'],
  [/^(mostly )?(f16|fp16|float16|half)$/, 'fp16'],
  [/^(mostly )?(bf16|bfloat16)$/, 'bf16'],
  // Eight-bit floats: vLLM, SGLang, TGI, Ollama's MLX models.
  [/^(fp8|mxfp8|f8_e4m3|w8a8_fp8|modelopt_fp8|fbgemm_fp8|modelopt|ptpc_fp8)$/, 'fp8'],
  // GGUF: the digit is the bits a weight; `Q4_K - Medium` is llama.cpp's spelling of Q4_K_M, `UD-` Unsloth's prefix.
  [/^(mostly )?(ud-)?q8_[0-9k](_x?l)?$/, 'int8'],
  [/^(mostly )?(ud-)?q[4567]_([01k]|k_x?[sml]|k - (small|medium|large))$/, 'int4'],
  [/^(mostly )?(iq4_nl|iq4_xs|iq4_nl - 4\.5 bpw|iq4_xs - 4\.25 bpw)$/, 'int4'],
  // Four-bit floats hold no more than four-bit integers do.
  [/^(fp4|mxfp4|mxfp4[_ ]moe|nvfp4|modelopt_fp4)$/, 'int4'],
  // MLX and LM Studio: `4bit`, `8-bit`.
  [/^8-?bit$/, 'int8'],
  [/^[4567]-?bit$/, 'int4'],
  // Schemes of GPU engines. GPTQ and bitsandbytes come with four or eight bits and do not say which: the lesser.
  [/^(int8|w8a8|w8a8_int8|eetq)$/, 'int8'],
  [
    /^(int4|awq|awq_marlin|gptq|gptq_marlin|marlin|bitsandbytes|bitsandbytes-nf4|bitsandbytes-fp4|w4a16|w4a8|w4afp8|moe_wna16)$/,
    'int4',
  ],
];

/** Null for what the table does not know. */
export function quantizationOf(name: unknown): Quantization | null {
  if (typeof name !== 'string' || name.length > 64) return null;
  const plain = name
    .trim()
    .toLowerCase()
    .replace(/^torch\./, '');
  return TABLE.find(([pattern]) => pattern.test(plain))?.[1] ?? null;
}
