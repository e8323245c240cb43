import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAX_BODY_DEPTH,
  removeMember,
  type ScannedValue,
  type ScanResult,
  scanTopLevel,
  spliceValue,
} from './body-scan.ts';

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const KEYS: ReadonlySet<string> = new Set(['model', 'stream', 'stream_options', 'subcloud', 'k']);
/** No document of these tests has it, so that nothing but JSON decides. */
const NO_KEYS: ReadonlySet<string> = new Set(['\u007e\u007enone\u007e\u007e']);

/** Documents as programs and people write them: dense, indented, with escapes and characters of every length. */
const members = fc.dictionary(
  fc.oneof(fc.constantFrom(...KEYS), fc.string({ unit: 'binary', maxLength: 12 })),
  fc.oneof(
    fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }),
    fc.boolean(),
    fc.string({ unit: 'grapheme-ascii', minLength: 20, maxLength: 120 }),
    fc.string({ unit: fc.constantFrom('\n', '"', '\\', '\u0000', 'ü', '港', '😀', '\ud800', 'x', '/'), maxLength: 60 }),
  ),
  { maxKeys: 6 },
);
const document = fc
  .tuple(members, fc.constantFrom(undefined, 1, '\t', '\r\n '))
  .map(([value, indent]) => JSON.stringify(value, null, indent))
  // A variant of a read key among the random ones is another test's subject.
  .filter((text) => !isVariantFault(scan(text)));

describe('scanTopLevel', () => {
  it('accepts exactly the objects that JSON.parse accepts, in documents that were damaged', () => {
    const tricky = '"\\{}[]:,0123456789.eE+-truefalsn \t\n\r/ub\u0000\u001f\u007f';
    const byte = fc.oneof(
      fc.constantFrom(...encoder.encode(tricky)),
      fc.constantFrom(0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xa0, 0xf0, 0x90, 0xf4, 0xf5, 0xff),
      fc.nat(255),
    );
    const damage = fc.record({ at: fc.nat(), remove: fc.nat(3), insert: fc.array(byte, { maxLength: 3 }) });
    fc.assert(
      fc.property(document, fc.array(damage, { maxLength: 3 }), fc.nat(3), (text, damages, offset) => {
        const body = shifted(damages.reduce(damaged, encoder.encode(text)), offset);
        expect(scanTopLevel(body, NO_KEYS).ok).toBe(isObject(body));
      }),
      { numRuns: 6_000 },
    );
  });

  it('accepts exactly the objects that JSON.parse accepts, in documents whose tokens were mixed up', () => {
    const token = fc.constantFrom('{', '}', '[', ']', ',', ':', '"b"', '1', 'true', '{"a":', '[1,', ',1', ',"c":2');
    const change = fc.record({ at: fc.nat(), remove: fc.nat(2), insert: fc.array(token, { maxLength: 2 }) });
    const nested = fc.dictionary(fc.constantFrom('a', 'b'), fc.jsonValue({ maxDepth: 3 }), { minKeys: 1 });
    fc.assert(
      fc.property(nested, fc.array(change, { minLength: 1, maxLength: 2 }), (value, changes) => {
        const tokens = JSON.stringify(value).match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^{}[\],:"]+/g) ?? [];
        for (const { at, remove, insert } of changes) tokens.splice(at % tokens.length, remove, ...insert, ' ');
        const body = encoder.encode(tokens.join(''));
        expect(scanTopLevel(body, NO_KEYS).ok).toBe(isObject(body));
      }),
      { numRuns: 6_000 },
    );
  });

  it('never throws, and accepts exactly what JSON.parse accepts, on arbitrary bytes', () => {
    const shaped = fc.array(fc.constantFrom(...encoder.encode('{}[]"":,,\\u01eE.-tfn '), 0x80, 0xe2), {
      maxLength: 24,
    });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          shaped.map((bytes) => Uint8Array.from(bytes)),
        ),
        (body) => {
          expect(scanTopLevel(body, NO_KEYS).ok).toBe(isObject(body));
          expect(scanTopLevel(Uint8Array.of(0x7b, ...body, 0x7d), KEYS)).toHaveProperty('ok');
        },
      ),
      { numRuns: 6_000 },
    );
  });

  it.each([
    '{"a":01}',
    '{"a":-}',
    '{"a":1.}',
    '{"a":.5}',
    '{"a":1e}',
    '{"a":+1}',
    '{"a":1e+-1}',
    '{"a":--1}',
    '{"a":tru}',
    '{"a":truee}',
    '{"a":nul}',
    '{"a":NaN}',
    '{"a":Infinity}',
    "{'a':1}",
    '{a:1}',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{,"a":1}',
    '{"a":1 "b":2}',
    '{"a":[1,]}',
    '{"a":[,1]}',
    '{"a":[1 2]}',
    '{"a":[1}',
    '{"a":[}',
    '{"a":{]}',
    '{"a":{"b":1,2}}',
    '{"a":{"b":1,}}',
    '{"a":{"b"}}',
    '{"a":{1}}',
    '{"a":{,}}',
    '{"a":[{"b":1,[]}]}',
    '{"a":["b":1]}',
    '{"a":1]',
    '{"a":1',
    '{"a":"',
    '{"a":"\\"}',
    '{"a":"\\x"}',
    '{"a":"\\u00g0"}',
    '{"a":"\\u00"}',
    '{"a":"\n"}',
    '{"a":"\u0000"}',
    '{"a":1}x',
    '{"a":1}{}',
    '{"a":1},',
    '\ufeff{"a":1}',
    '{"a":1}\u0000',
    '{"a":1}\u00a0',
    '\u000b{}',
    '{} //',
    '{/**/}',
    '',
    ' ',
    '{',
    '}',
  ])('refuses %j as no JSON', (text) => {
    expect(scan(text)).toMatchObject({ ok: false, reason: 'not_json' });
  });

  it.each(['[]', '"', '[{}]', '"a"', '1', '-0', 'true', 'false', 'null', ' [1'])('refuses %j as no object', (text) => {
    expect(scan(text)).toMatchObject({ ok: false, reason: 'not_object' });
  });

  it.each(['{}', ' { } ', '\r\n\t{"a":[{},[],{"b":[]}]}\n', '{"a":-0.0e-0,"b":1E+9}', '{"":{"":""}}', '{"a":1,"a":2}'])(
    'accepts %j',
    (text) => {
      expect(scan(text).ok).toBe(true);
    },
  );

  it('judges every byte, at every place of a word and every alignment, as JSON.parse does', () => {
    const wrong: string[] = [];
    for (let byte = 0; byte < 256; byte++) {
      for (let place = 0; place < 48; place++) {
        const body = encoder.encode(`{"x":"${'.'.repeat(60)}"}`);
        body[6 + place] = byte;
        const wanted = isObject(body);
        for (let offset = 0; offset < 4; offset++) {
          if (scanTopLevel(shifted(body, offset), NO_KEYS).ok !== wanted) wrong.push(`${byte} at ${place} + ${offset}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('judges every start of a character as a strict UTF-8 decoder does', () => {
    const wrong: string[] = [];
    for (let lead = 0x80; lead < 256; lead++) {
      for (let second = 0; second < 256; second++) {
        for (const rest of [[], [0x80], [0xbf, 0xbf], [0x80, 0x41], [0x80, 0xc0]]) {
          const body = Uint8Array.of(0x7b, 0x22, lead, second, ...rest, 0x22, 0x3a, 0x31, 0x7d);
          if (scanTopLevel(body, NO_KEYS).ok !== isObject(body)) wrong.push([lead, second, ...rest].join(' '));
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('names bytes that are no UTF-8 as such, and where they are', () => {
    const body = Uint8Array.of(...encoder.encode('{"a":"ü'), 0xff, ...encoder.encode('"}'));
    expect(scanTopLevel(body, KEYS)).toEqual({ ok: false, reason: 'invalid_utf8', offset: 8 });
    expect(scanTopLevel(encoder.encode('{"a":"ü"').subarray(0, 7), KEYS)).toMatchObject({ reason: 'invalid_utf8' });
  });

  it('finds each value that is read where JSON.parse finds it, and decodes strings and booleans', () => {
    fc.assert(
      fc.property(document, fc.nat(3), (text, offset) => {
        const body = shifted(encoder.encode(text), offset);
        const parsed = parse(text);
        const values = valuesOf(scanTopLevel(body, KEYS));
        expect([...values.keys()].sort()).toEqual([...KEYS].filter((key) => Object.hasOwn(parsed, key)).sort());
        for (const [key, { keyStart, start, end, string, boolean }] of values) {
          const value: unknown = JSON.parse(strictDecoder.decode(body.subarray(start, end)));
          expect(value).toEqual(parsed[key]);
          expect(string).toBe(typeof value === 'string' ? value : undefined);
          expect(boolean).toBe(typeof value === 'boolean' ? value : undefined);
          const member: unknown = JSON.parse(`{${strictDecoder.decode(body.subarray(keyStart, end))}}`);
          expect(Object.keys(Object(member))).toEqual([key]);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('does not look for keys inside of values', () => {
    const values = valuesOf(scan('{"a":{"model":"x","MODEL":1},"b":[{"model":1}],"model":"y"}'));
    expect(values.get('model')?.string).toBe('y');
  });

  it('keeps a byte order mark that a string begins with', () => {
    expect(valuesOf(scan('{"model":"\ufeffx"}')).get('model')?.string).toBe('\ufeffx');
  });

  it('leaves a string undecoded that is longer than the limit', () => {
    const limits = { maxStringBytes: 4 };
    const long = valuesOf(scanTopLevel(encoder.encode('{"model":"12345"}'), KEYS, limits)).get('model');
    expect(long).toEqual({ keyStart: 1, start: 9, end: 16 });
    expect(valuesOf(scanTopLevel(encoder.encode('{"model":"1234"}'), KEYS, limits)).get('model')?.string).toBe('1234');
  });

  it('accepts nesting up to the limit and refuses the next level where it opens', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const nested = (depth: number): string => `{"a":${open.repeat(depth - 1)}1${close.repeat(depth - 1)}}`;
      expect(scan(nested(MAX_BODY_DEPTH)).ok).toBe(true);
      const opens = 5 + open.length * (MAX_BODY_DEPTH - 1);
      expect(scan(nested(MAX_BODY_DEPTH + 1))).toEqual({ ok: false, reason: 'too_deep', offset: opens });
      expect(scanTopLevel(encoder.encode('{"a":[]}'), KEYS, { maxDepth: 1 })).toMatchObject({ reason: 'too_deep' });
    }
    expect(scan('['.repeat(8_000_000))).toMatchObject({ reason: 'not_object' });
    expect(scan(`{"a":${'['.repeat(8_000_000)}`)).toMatchObject({ reason: 'too_deep' });
  });

  it('refuses to be set up wrongly', () => {
    const body = encoder.encode('{}');
    for (const keys of [['modèle'], [''], ['a', 'A'], ['a\n']]) {
      expect(() => scanTopLevel(body, new Set(keys))).toThrow(RangeError);
    }
    for (const maxDepth of [0, 4_097, Number.NaN]) {
      expect(() => scanTopLevel(body, KEYS, { maxDepth })).toThrow(RangeError);
    }
  });
});

describe('spliceValue and removeMember', () => {
  it('replace one value and leave every other byte as it was', () => {
    fc.assert(
      fc.property(document, fc.jsonValue(), fc.nat(3), (text, value, offset) => {
        const body = shifted(encoder.encode(text), offset);
        const before = Uint8Array.from(body);
        for (const [key, { start, end }] of valuesOf(scanTopLevel(body, KEYS))) {
          const spliced = spliceValue(body, start, end, JSON.stringify(value));
          expect(JSON.parse(strictDecoder.decode(spliced))).toEqual(
            JSON.parse(JSON.stringify({ ...parse(text), [key]: value })),
          );
          expect(spliced.subarray(0, start)).toEqual(before.subarray(0, start));
          expect(spliced.subarray(spliced.length - (before.length - end))).toEqual(before.subarray(end));
        }
        expect(body).toEqual(before);
      }),
    );
  });

  it('remove one member with its comma and leave the others as they were', () => {
    fc.assert(
      fc.property(document, (text) => {
        const body = encoder.encode(text);
        for (const [key, member] of valuesOf(scanTopLevel(body, KEYS))) {
          const removed = removeMember(body, member);
          const { [key]: _, ...rest } = parse(text);
          const left = parse(strictDecoder.decode(removed));
          expect(left).toEqual(rest);
          expect(Object.keys(left)).toEqual(Object.keys(rest));
          // What is left is a front and a back of the body.
          const front = removed.findIndex((byte, index) => byte !== body[index]);
          const back = front === -1 ? new Uint8Array(0) : removed.subarray(front);
          expect(back).toEqual(body.subarray(body.length - back.length));
        }
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['{"k":1}', '{}'],
    ['{ "k" : 1 }', '{  }'],
    ['{"k":1,"a":2}', '{"a":2}'],
    ['{"a":2,"k":1}', '{"a":2}'],
    ['{"a":2 , "k":1 }', '{"a":2  }'],
    ['{"a":2,"k":{"k":[1,2]},"b":3}', '{"a":2,"b":3}'],
    ['{"a":2,\n  "k": 1,\n  "b":3\n}', '{"a":2,\n  "b":3\n}'],
  ])('%j without k is %j', (text, wanted) => {
    const member = valuesOf(scan(text)).get('k');
    if (member === undefined) throw new Error('no member k');
    expect(strictDecoder.decode(removeMember(encoder.encode(text), member))).toBe(wanted);
  });
});

function scan(text: string): ScanResult {
  return scanTopLevel(encoder.encode(text), KEYS);
}

function valuesOf(result: ScanResult): ReadonlyMap<string, ScannedValue> {
  if (!result.ok) throw new Error(`refused: ${result.reason} at ${result.offset}`);
  return result.values;
}

function isVariantFault(result: ScanResult): boolean {
  return !result.ok && result.reason === 'case_variant';
}

/** The same bytes at another place in memory: words of four are read where they are aligned. */
function shifted(body: Uint8Array, offset: number): Uint8Array {
  const memory = new Uint8Array(body.length + offset);
  memory.set(body, offset);
  return memory.subarray(offset);
}

function damaged(
  body: Uint8Array,
  { at, remove, insert }: { at: number; remove: number; insert: readonly number[] },
): Uint8Array {
  const from = body.length === 0 ? 0 : at % body.length;
  return Uint8Array.of(...body.subarray(0, from), ...insert, ...body.subarray(from + remove));
}

function isObject(body: Uint8Array): boolean {
  try {
    const value: unknown = JSON.parse(strictDecoder.decode(body));
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function parse(text: string): Record<string, unknown> {
  return JSON.parse(text) as Record<string, unknown>;
}
