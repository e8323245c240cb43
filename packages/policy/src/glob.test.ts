import { performance } from 'node:perf_hooks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileGlob } from './glob.ts';

/** Tried in every way there is. */
function holds(pattern: readonly string[], text: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return text.length === 0;
  const [character, ...others] = text;
  const isRun = first.startsWith('*');
  if (isRun && holds(rest, text)) return true;
  if (character === undefined) return false;
  if (isRun) return (first.length > 1 || character !== '/') && holds(pattern, others);
  return (first === '?' ? character !== '/' : first === character) && holds(rest, others);
}

const character = fc.constantFrom('a', 'b', '/', '.', '-', 'é', '𝒳', '\n', '(', '^', '$', '\\');
const pattern = fc.array(fc.oneof(character, fc.constantFrom('*', '**', '***', '?', '*')), { maxLength: 10 });
const text = fc.array(character, { maxLength: 10 });

describe('compileGlob', () => {
  it('matches as a matcher does that tries every way', () => {
    let matched = 0;
    fc.assert(
      fc.property(pattern, text, (parts, characters) => {
        const written = parts.join('');
        const tokens = written.match(/\*+|[^*]/gu) ?? [];
        const answer = compileGlob(written)(characters.join(''));
        expect(answer).toBe(holds(tokens, characters));
        if (answer) matched += 1;
      }),
      { numRuns: 20_000 },
    );
    expect(matched).toBeGreaterThan(500);
  });

  it('matches a text that was made from the pattern', () => {
    const made = fc.array(
      fc.oneof(
        character.map((one): [string, string] => [one, one]),
        fc.tuple(fc.constantFrom('*', '**'), fc.constantFrom('', 'a', 'ab', 'a.b')),
        fc.tuple(fc.constant('?'), fc.constantFrom('a', '𝒳')),
        fc.tuple(fc.constant('**'), fc.constantFrom('a/b', '/', '//')),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(made, (parts) => {
        const written = parts.map(([glob]) => glob).join('');
        // Stars that meet are one run of another kind.
        fc.pre(!/\*\*\*/.test(written) && !parts.some(([glob], at) => glob === '*' && parts[at + 1]?.[0] === '*'));
        expect(compileGlob(written)(parts.map(([, plain]) => plain).join(''))).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });

  it('takes a lone half of a character for no character of the text', () => {
    expect(compileGlob('\ud835*')('𝒳')).toBe(false);
    expect(compileGlob('\ud835?')('𝒳')).toBe(false);
  });

  it('takes time in proportion to text and pattern, whatever they are', () => {
    const time = (written: string, length: number): number => {
      const matches = compileGlob(written);
      const long = 'a'.repeat(length);
      const start = performance.now();
      expect(matches(`${long}!`)).toBe(false);
      return performance.now() - start;
    };
    for (const written of ['*a'.repeat(40), '**a'.repeat(40), 'a*'.repeat(40), '?*'.repeat(40), '**/'.repeat(40)]) {
      time(`${written}b`, 2_000);
      // A matcher that goes back needs longer than the universe has; this one a second at the very most.
      expect(time(`${written}b`, 4_000)).toBeLessThan(1_000);
    }
  });
});
