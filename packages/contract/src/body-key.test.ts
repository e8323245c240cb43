import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ScannedValue, type ScanResult, scanTopLevel } from './body-scan.ts';

const encoder = new TextEncoder();
const KEYS: ReadonlySet<string> = new Set(['model', 'stream', 'stream_options', 'subcloud', 'k']);

describe('keys that two readers could take differently', () => {
  it.each([
    ['{"model":"allowed","MODEL":"other"}', 'case_variant', 19],
    ['{"MODEL":"other","model":"allowed"}', 'case_variant', 1],
    ['{"Model":"x"}', 'case_variant', 1],
    ['{"\\u004dodel":"x"}', 'case_variant', 1],
    ['{"\\u004Dodel":"x"}', 'case_variant', 1],
    ['{"ſtream":true}', 'case_variant', 1],
    ['{"\\u017ftream":true}', 'case_variant', 1],
    ['{"\u212a":1}', 'case_variant', 1],
    ['{"\\u212A":1}', 'case_variant', 1],
    ['{"ﬆream":true}', 'case_variant', 1],
    ['{"model\\u0000":"x"}', 'case_variant', 1],
    ['{"model\\u0000.long.long.long.long.long":"x"}', 'case_variant', 1],
    ['{"model":"a","model":"b"}', 'duplicate_key', 13],
    ['{"model":"a","\\u006dodel":"b"}', 'duplicate_key', 13],
    ['{"model":"a","mo\\u0064el":"a"}', 'duplicate_key', 13],
  ])('%s is refused as %s', (text, reason, offset) => {
    expect(scan(text)).toMatchObject({ ok: false, reason, offset });
  });

  it('is told which key it is about', () => {
    expect(scan('{"STREAM_options":1}')).toMatchObject({ reason: 'case_variant', key: 'stream_options' });
    expect(scan('{"stream":1,"stream":1}')).toMatchObject({ reason: 'duplicate_key', key: 'stream' });
  });

  it('are not seen in other keys, equal or not', () => {
    const others = [
      'mode',
      'models',
      'mоdel',
      ' model',
      'mödel',
      'm\\u006fdels',
      '\\u0000model',
      'user',
      'USER',
      'user',
      '',
    ];
    expect(scan(`{${others.map((key) => `"${key}":1`).join()}}`)).toEqual({ ok: true, values: new Map() });
  });

  it('accepts an escaped spelling of a key as the key', () => {
    expect(valuesOf(scan('{"\\u006d\\u006F\\u0064el":"x"}')).get('model')?.string).toBe('x');
    expect(valuesOf(scanTopLevel(encoder.encode('{"a\\/b":"x"}'), new Set(['a/b']))).get('a/b')?.string).toBe('x');
  });

  it('are found in whatever way they are spelled and ordered', () => {
    const spelled = fc.constantFrom(...KEYS, 'user', 'mode').chain((key) =>
      fc
        .array(fc.record({ upper: fc.integer({ min: 0, max: 5 }), escape: fc.boolean() }), {
          minLength: key.length,
          maxLength: key.length,
        })
        .map((styles) => spell(key, styles)),
    );
    fc.assert(
      fc.property(fc.array(spelled, { maxLength: 5 }), (keys) => {
        const seen = new Set<string>();
        let wanted = 'ok';
        for (const { decoded } of keys) {
          const known = [...KEYS].find((key) => key === decoded.toLowerCase());
          if (known === undefined) continue;
          if (known !== decoded) wanted = 'case_variant';
          else if (seen.has(known)) wanted = 'duplicate_key';
          if (wanted !== 'ok') break;
          seen.add(known);
        }
        const result = scan(`{${keys.map(({ raw }) => `"${raw}":1`).join()}}`);
        expect(result.ok ? 'ok' : result.reason).toBe(wanted);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are found through every character of Unicode that folds to ASCII', () => {
    const simple = Array.from(
      'abcdefghijklmnopqrstuvwxyz0123456789_',
      (char) => [char, new RegExp(`^${char}$`, 'iu')] as const,
    );
    const missed: string[] = [];
    let folding = 0;
    for (let code = 0x80; code < 0x110000; code++) {
      if (code >= 0xd800 && code < 0xe000) continue;
      const char = String.fromCodePoint(code);
      // Full folding, and what is left of it to a reader that maps one character to one.
      const folds = [char.toLowerCase(), char.toUpperCase().toLowerCase(), char.toLowerCase().replace(/\u0307$/, '')];
      folds.push(...simple.filter(([, pattern]) => pattern.test(char)).map(([ascii]) => ascii));
      for (const fold of new Set(folds.filter((text) => /^[\x20-\x7e]+$/.test(text)))) {
        folding++;
        const result = scanTopLevel(encoder.encode(`{"x${char}y":1}`), new Set([`x${fold}y`]));
        if (!isVariantFault(result)) missed.push(`${code.toString(16)} as ${fold}`);
      }
    }
    expect(missed).toEqual([]);
    expect(folding).toBeGreaterThanOrEqual(12);
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

/** A key as JSON text: one character in six a capital, and some escaped. */
function spell(key: string, styles: readonly { upper: number; escape: boolean }[]): { raw: string; decoded: string } {
  const chars = Array.from(key, (char, index) => (styles[index]?.upper === 0 ? char.toUpperCase() : char));
  const raw = chars.map((char, index) =>
    styles[index]?.escape === true ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : char,
  );
  return { raw: raw.join(''), decoded: chars.join('') };
}
