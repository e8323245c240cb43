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

/** Looked at in one turn: 3 ms where quotes are dense (bench/body-scan.ts). */
const PART_BYTES = 1_048_576;

/** In the order of INPUT_MODALITIES; undefined: text alone. `from` and `end` are those of `messages` in the body. */
export function inputsOf(body: Buffer, from: number, end: number): readonly InputModality[] | undefined {
  const found = new Set<InputModality>();
  look(body.subarray(from, end), 0, end - from, found);
  return inOrder(found);
}

/** The same for a large body, without holding up everybody else. */
export async function inputsOfInTurns(
  body: Buffer,
  from: number,
  end: number,
  giveWay: () => Promise<void>,
): Promise<readonly InputModality[] | undefined> {
  const found = new Set<InputModality>();
  for (let part = 0; part < end - from; part += PART_BYTES) {
    if (part > 0) await giveWay();
    look(body.subarray(from, end), part, part + PART_BYTES, found);
  }
  return inOrder(found);
}

function inOrder(found: ReadonlySet<InputModality>): readonly InputModality[] | undefined {
  return found.size === 0 ? undefined : INPUT_MODALITIES.filter((modality) => found.has(modality));
}

/** For keys that begin from `start` on and before `end`. */
function look(messages: Buffer, start: number, end: number, found: Set<InputModality>): void {
  for (const [key, modality] of KEYS) {
    if (!found.has(modality) && hasKey(messages, key, start, end)) found.add(modality);
  }
}

function hasKey(bytes: Buffer, key: Buffer, start: number, end: number): boolean {
  const part = bytes.subarray(0, end + key.byteLength - 1);
  for (let at = part.indexOf(key, start); at !== -1; at = part.indexOf(key, at + 1)) {
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
