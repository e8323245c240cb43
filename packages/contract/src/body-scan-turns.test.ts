import fc from 'fast-check';
import { expect, test } from 'vitest';
import { scanTopLevel, scanTopLevelInTurns } from './body-scan.ts';
import { MAX_KEY_BYTES, MAX_NUMBER_DIGITS, MAX_SPACE_BYTES } from './json-cursor.ts';

const KEYS: ReadonlySet<string> = new Set(['model', 'stream', 'k']);
const GIVE_WAY = (): Promise<void> => Promise.resolve();
const text = fc.string({
  unit: fc.constantFrom('\n', '"', '\\', '\u0000', 'ü', '港', '😀', 'x', 'long plain text of words '),
  maxLength: 60,
});
const value = fc.letrec((tie) => ({
  any: fc.oneof({ depthSize: 'small' }, text, fc.double({ noNaN: true }), fc.boolean(), tie('list'), tie('map')),
  list: fc.array(tie('any'), { maxLength: 5 }),
  map: fc.dictionary(fc.oneof(text, fc.constantFrom(...KEYS)), tie('any'), { maxKeys: 5 }),
})).map;
const body = fc
  .tuple(
    value,
    fc.constantFrom(undefined, 1, '\t'),
    fc.nat(),
    fc.integer({ min: -200, max: 255 }),
    fc.integer({ min: 0, max: 3 }),
  )
  .map(([content, indent, at, damage, shift]) => {
    // At every offset of a word, and in a third of the cases with one byte damaged.
    const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(JSON.stringify(content, null, indent))]).subarray(
      shift,
    );
    if (damage >= 0) bytes[at % bytes.byteLength] = damage;
    return bytes;
  });

test('in turns of any size, with other scans between, the result is the same as at once', async () => {
  await fc.assert(
    fc.asyncProperty(body, body, fc.integer({ min: 1, max: 40 }), async (one, other, bytesATurn) => {
      const between = (): Promise<void> => {
        scanTopLevel(other, KEYS);
        return Promise.resolve();
      };
      expect(await scanTopLevelInTurns(one, KEYS, between, { bytesATurn })).toEqual(scanTopLevel(one, KEYS));
    }),
    { numRuns: 2_000 },
  );
});

const MIB = 1_048_576;
const filled = (unit: string, before: string, after: string): Buffer =>
  Buffer.concat([
    Buffer.from(before),
    Buffer.alloc(unit.length * Math.floor((4 * MIB) / unit.length), unit),
    Buffer.from(after),
  ]);

test.each([
  ['plain text', filled('a', '{"k":"', '"}')],
  ['escapes', filled('\\n', '{"k":"', '"}')],
  ['arrays', filled('[],', '{"k":[', '1]}')],
  ['numbers', filled('1,', '{"k":[', '1]}')],
  ['objects', filled('{"":1},', '{"k":[', '1]}')],
  ['members', filled('"a":1,', '{', '"k":1}')],
])('4 MiB of %s give way as often as they are long', async (_name, bytes) => {
  let turns = 0;
  const result = await scanTopLevelInTurns(bytes, KEYS, () => {
    turns++;
    return GIVE_WAY();
  });
  expect(result.ok).toBe(true);
  expect(turns).toBeGreaterThanOrEqual(Math.floor(bytes.byteLength / 131_072) - 1);
});

test.each([
  ['key', `{"${'\\n'.repeat(MAX_KEY_BYTES)}":1}`, 'too_long'],
  ['key inside', `{"k":{"${'a'.repeat(MAX_KEY_BYTES + 10)}":1}}`, 'too_long'],
  ['number', `{"k":${'1'.repeat(MAX_NUMBER_DIGITS + 1)}}`, 'too_long'],
  ['gap', `{"k":${' '.repeat(MAX_SPACE_BYTES + 2)}1}`, 'not_json'],
])('a %s beyond its bound is refused', async (_name, bytes, reason) => {
  for (const result of [
    scanTopLevel(Buffer.from(bytes), KEYS),
    await scanTopLevelInTurns(Buffer.from(bytes), KEYS, GIVE_WAY),
  ])
    expect(result).toMatchObject({ ok: false, reason });
});

test('keys, numbers and gaps up to their bounds pass', () => {
  const bytes = Buffer.from(
    `{"${'a'.repeat(MAX_KEY_BYTES - 2)}":${'1'.repeat(MAX_NUMBER_DIGITS)},${' '.repeat(MAX_SPACE_BYTES)}"k":1}`,
  );
  expect(scanTopLevel(bytes, KEYS).ok).toBe(true);
});
