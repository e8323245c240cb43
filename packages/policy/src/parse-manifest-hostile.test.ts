import { describe, expect, it } from 'vitest';
import { MAX_MANIFEST_BYTES, parseManifest } from './parse-manifest.ts';

const HEAD = 'apiVersion: subcloud/v1\nkind: Subcloud\nmetadata: { name: lab }\n';

describe('a hostile text', () => {
  it('over 256 KiB is refused unread, and one of exactly that size is read', () => {
    const padded = (bytes: number): string =>
      `${HEAD}spec: {}\n#${'x'.repeat(bytes - HEAD.length - 'spec: {}\n#'.length)}`;
    expect(parseManifest(padded(MAX_MANIFEST_BYTES)).ok).toBe(true);
    expect(faults(padded(MAX_MANIFEST_BYTES + 1))).toEqual([
      'null  too_large: the manifest is larger than 262144 bytes',
    ]);
    expect(faults('ä'.repeat(MAX_MANIFEST_BYTES / 2 + 1))).toEqual([
      'null  too_large: the manifest is larger than 262144 bytes',
    ]);
  });

  it('of aliases that multiply is refused', () => {
    const levels = Array.from(
      { length: 8 },
      (_, level) => `l${level + 1}: &l${level + 1} [${Array(9).fill(`*l${level}`).join(',')}]`,
    );
    expect(faults(`l0: &l0 [x]\n${levels.join('\n')}\n${HEAD}`)).toEqual([
      'null  syntax: Excessive alias count indicates a resource exhaustion attack',
    ]);
  });

  it('of 10 MB is refused at once, however it is filled', () => {
    for (const piece of ['x', '- ', '{', '*a,', '\u00e9']) {
      const startedMs = performance.now();
      expect(faults(piece.repeat(10_000_000 / piece.length))).toEqual([
        'null  too_large: the manifest is larger than 262144 bytes',
      ]);
      expect(performance.now() - startedMs).toBeLessThan(1_000);
    }
  });

  it('of more words and marks than any manifest has is refused before it is parsed', () => {
    // Each took the parser from half a second to minutes.
    for (const piece of ['[', '- ', '? ', ': ', ',', '1,', '&a ', '!a ', '"",', 'a:,', '{', '*a,', 'b,', '- a,\n']) {
      const text = `a: [${piece.repeat((MAX_MANIFEST_BYTES - 4) / piece.length)}`;
      expect(faults(text)).toEqual(['null  too_large: the manifest has more than 40000 words and marks']);
    }
  });

  it.each([
    ['anchors', `a: ${'&a '.repeat(19_000)}`],
    ['tags', `a: ${'!a '.repeat(19_000)}`],
    ['commas', `a: [${','.repeat(39_000)}]`],
    ['aliases to what they are in, that branch', `${HEAD}spec: &a { x: *a, y: *a, z: *a }`],
    ['one value, named everywhere', `a: &a 1\nb: [${'*a,'.repeat(80_000)}]`],
    ['names without a value', `a: [${'*a,'.repeat(80_000)}]`],
    ['brackets without end', '['.repeat(MAX_MANIFEST_BYTES)],
    ['brackets that close', `kind: ${'['.repeat(1_500)}${']'.repeat(1_500)}`],
    ['dashes', '- '.repeat(MAX_MANIFEST_BYTES / 2)],
    ['question marks', '? '.repeat(MAX_MANIFEST_BYTES / 2)],
    ['colons', ': '.repeat(MAX_MANIFEST_BYTES / 2)],
    ['keys in one map', Array.from({ length: 28_000 }, (_, index) => `${index}:`).join('\n')],
    [
      'places',
      `${HEAD}spec: { nodes: { location: { in: [${Array.from({ length: 30_000 }, (_, index) => `X${index}`).join(',')}] } } }`,
    ],
    ['an expression', `${HEAD}spec: { nodes: { where: "${'('.repeat(4_000)}" } }`],
    ['an expression of all', `${HEAD}spec: { nodes: { where: "${'!'.repeat(4_000)}" } }`],
    ['tests', `${HEAD}spec: { tests: [${'{ name: a, node: {}, expect: { eligible: true } },'.repeat(4_000)}] }`],
    [
      'globs and aliases',
      `${HEAD}spec: { models: { allow: [${Array.from({ length: 1_000 }, (_, index) => `{ id: "${'**a'.repeat(index % 2 === 0 ? 40 : 0)}${index}"${index % 2 === 0 ? '' : `, alias: "${'a'.repeat(100)}${index}"`} }`).join(',')}] } }`,
    ],
    ['model entries', `${HEAD}spec: { models: { allow: [${'{id: "*"},'.repeat(20_000)}] } }`],
  ])('of %s is refused in bounded time, without throwing', (_, text) => {
    const startedMs = performance.now();
    expect(parseManifest(text).ok).toBe(false);
    // Some hundred milliseconds each on a slow machine; what this guards against takes many seconds or for ever.
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });
});

/** The faults as `line path code: message`, in the order in which they are shown. */
function faults(text: string): readonly string[] {
  const parsed = parseManifest(text);
  return parsed.ok ? [] : parsed.errors.map(({ line, path, code, message }) => `${line} ${path} ${code}: ${message}`);
}
