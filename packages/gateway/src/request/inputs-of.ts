/**
 * What a conversation has in it besides text, found without parsing it: content parts are objects with a key that names
 * their kind, and inside a text its quotes would be escaped. A part that is written so that it is not found here goes to
 * any node, whose engine then refuses what it cannot read; nobody gains by it.
 */
import { INPUT_MODALITIES, type InputModality } from '@subcloud/policy/model-inputs';

/** OpenAI's parts, and those that engines add. */
const KEYS: readonly (readonly [Buffer, InputModality])[] = [
  [Buffer.from('"image_url"'), 'image'],
  [Buffer.from('"image_embeds"'), 'image'],
  [Buffer.from('"input_audio"'), 'audio'],
  [Buffer.from('"audio_url"'), 'audio'],
  [Buffer.from('"video_url"'), 'video'],
];
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;

/** In the order of INPUT_MODALITIES; undefined: text alone. `from` and `end` are those of `messages` in the body. */
export function inputsOf(body: Buffer, from: number, end: number): readonly InputModality[] | undefined {
  const messages = body.subarray(from, end);
  const found = new Set<InputModality>();
  for (const [key, modality] of KEYS) if (!found.has(modality) && hasKey(messages, key)) found.add(modality);
  return found.size === 0 ? undefined : INPUT_MODALITIES.filter((modality) => found.has(modality));
}

function hasKey(bytes: Buffer, key: Buffer): boolean {
  for (let at = bytes.indexOf(key); at !== -1; at = bytes.indexOf(key, at + 1)) {
    let before = at - 1;
    while (isSpace(bytes[before])) before -= 1;
    let after = at + key.byteLength;
    while (isSpace(bytes[after])) after += 1;
    const opens = bytes[before] === OPEN_BRACE || bytes[before] === COMMA;
    if (opens && bytes[after] === COLON) return true;
  }
  return false;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
