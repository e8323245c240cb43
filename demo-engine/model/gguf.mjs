/**
 * Step 4: `node gguf.mjs OUT.gguf w.bin f16` writes the weights of train.py and the tokenizer as a GGUF file, version 3. With `random`
 * instead of w.bin the file has the right shape and knows nothing, which is enough to try an engine.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const [outPath, weightsPath = 'random', weightType = 'f32'] = process.argv.slice(2);
const { d, L, H, KV, F, ctx, theta, eps } = JSON.parse(readFileSync('cfg.json', 'utf8'));
const { tokens, merges, special } = JSON.parse(readFileSync('tok.json', 'utf8'));
const headSize = d / H;
const alignment = 32;

function bytes(size, write) {
  const buffer = Buffer.alloc(size);
  write(buffer);
  return buffer;
}
const u32 = (value) => bytes(4, (buffer) => buffer.writeUInt32LE(value));
const u64 = (value) => bytes(8, (buffer) => buffer.writeBigUInt64LE(BigInt(value)));
const i32 = (value) => bytes(4, (buffer) => buffer.writeInt32LE(value));
const f32 = (value) => bytes(4, (buffer) => buffer.writeFloatLE(value));
const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

// The numbers of GGUF's value types.
const types = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, list: 9 };
const entry = (key, type, value) => Buffer.concat([text(key), u32(type), value]);
const list = (key, type, values, write) =>
  entry(key, types.list, Buffer.concat([u32(type), u64(values.length), ...values.map(write)]));

const chatTemplate =
  "{% for m in messages %}{% if m['role']=='system' %}<|system|>{{ m['content'] }}<|end|>" +
  "{% elif m['role']=='user' %}<|user|>{{ m['content'] }}<|end|>" +
  "{% else %}<|assistant|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}" +
  '{% if add_generation_prompt %}<|assistant|>{% endif %}';

const metadata = [
  entry('general.architecture', types.text, text('llama')),
  entry('general.name', types.text, text('feas-tiny')),
  entry('general.alignment', types.u32, u32(alignment)),
  entry('general.file_type', types.u32, u32(weightType === 'f16' ? 1 : 0)),
  entry('llama.context_length', types.u32, u32(ctx)),
  entry('llama.embedding_length', types.u32, u32(d)),
  entry('llama.block_count', types.u32, u32(L)),
  entry('llama.feed_forward_length', types.u32, u32(F)),
  entry('llama.attention.head_count', types.u32, u32(H)),
  entry('llama.attention.head_count_kv', types.u32, u32(KV)),
  entry('llama.attention.layer_norm_rms_epsilon', types.f32, f32(eps)),
  entry('llama.rope.dimension_count', types.u32, u32(headSize)),
  entry('llama.rope.freq_base', types.f32, f32(theta)),
  entry('llama.vocab_size', types.u32, u32(tokens.length)),
  entry('tokenizer.ggml.model', types.text, text('gpt2')),
  entry('tokenizer.ggml.pre', types.text, text('gpt-2')),
  list('tokenizer.ggml.tokens', types.text, tokens, text),
  // 3: a control token, 1: an ordinary one.
  list(
    'tokenizer.ggml.token_type',
    types.i32,
    tokens.map((token) => (special.includes(token) ? 3 : 1)),
    i32,
  ),
  list('tokenizer.ggml.merges', types.text, merges, text),
  entry('tokenizer.ggml.bos_token_id', types.u32, u32(special.indexOf('<|bos|>'))),
  entry('tokenizer.ggml.eos_token_id', types.u32, u32(special.indexOf('<|end|>'))),
  entry('tokenizer.ggml.padding_token_id', types.u32, u32(special.indexOf('<|pad|>'))),
  entry('tokenizer.ggml.add_bos_token', types.bool, Buffer.from([1])),
  entry('tokenizer.chat_template', types.text, text(chatTemplate)),
];

/** In the order in which train.py writes them. */
const tensors = [
  ['token_embd.weight', [d, tokens.length]],
  ['output_norm.weight', [d]],
  ...Array.from({ length: L }, (_, block) =>
    [
      ['attn_norm.weight', [d]],
      ['attn_q.weight', [d, d]],
      ['attn_k.weight', [d, KV * headSize]],
      ['attn_v.weight', [d, KV * headSize]],
      ['attn_output.weight', [d, d]],
      ['ffn_norm.weight', [d]],
      ['ffn_gate.weight', [d, F]],
      ['ffn_up.weight', [d, F]],
      ['ffn_down.weight', [F, d]],
    ].map(([name, shape]) => [`blk.${block}.${String(name)}`, shape]),
  ).flat(),
];

const readWeights = weightsPath === 'random' ? randomWeights() : weightsOf(weightsPath);

function weightsOf(path) {
  const file = readFileSync(path);
  const all = new Float32Array(file.buffer, file.byteOffset, file.length / 4);
  let offset = 0;
  return (count) => all.subarray(offset, (offset += count));
}

function randomWeights() {
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(random() + 1e-12)) * Math.cos(2 * Math.PI * random());
  return (count, dimensions) => Float32Array.from({ length: count }, () => (dimensions === 1 ? 1 : normal() * 0.08));
}

/** IEEE 754 half precision, rounded half up. */
function toHalf(value) {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0];
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 255) - 112;
  const fraction = bits & 0x7fffff;
  if (exponent < -10) return sign;
  if (exponent <= 0) return sign | ((((fraction | 0x800000) >> (1 - exponent)) + 0x1000) >> 13);
  if (exponent >= 31) return sign | 0x7c00;
  return sign | ((exponent << 10) + ((fraction + 0x1000) >> 13));
}

const padding = (length) => Buffer.alloc((alignment - (length % alignment)) % alignment);
const infos = [];
const contents = [];
let offset = 0;
for (const [name, shape] of tensors) {
  const count = shape.reduce((product, size) => product * size, 1);
  const weights = readWeights(count, shape.length);
  // Norms are few and sensitive: they stay in full precision.
  const isHalf = weightType === 'f16' && shape.length > 1;
  const content = isHalf
    ? Buffer.from(Uint16Array.from(weights, toHalf).buffer)
    : Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength);
  infos.push(Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(isHalf ? 1 : 0), u64(offset)]));
  const pad = padding(content.length);
  contents.push(content, pad);
  offset += content.length + pad.length;
}

const head = Buffer.concat([
  Buffer.from('GGUF'),
  u32(3),
  u64(tensors.length),
  u64(metadata.length),
  ...metadata,
  ...infos,
]);
const file = Buffer.concat([head, padding(head.length), ...contents]);
writeFileSync(outPath, file);
process.stdout.write(`${outPath}: ${tensors.length} tensors, ${file.length} bytes\n`);
