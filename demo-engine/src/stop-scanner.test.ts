import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StopScanner } from './stop-scanner.ts';

/** The straightforward answer: write letter by letter, and stop as soon as the text ends with a sequence. */
function cutAtFirstStop(text: string, stops: readonly string[]): string {
  for (let end = 1; end <= text.length; end += 1) {
    const written = text.slice(0, end);
    const ending = stops.filter((stop) => written.endsWith(stop)).map((stop) => stop.length);
    if (ending.length > 0) return text.slice(0, end - Math.max(...ending));
  }
  return text;
}

// Few letters, so that sequences overlap with the text and with each other.
const fewLetters = (minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength, maxLength });

test('however a text is cut into pieces, what comes out ends before the stop sequence that is complete first', () => {
  const stops = fc.array(fewLetters(1, 4), { maxLength: 4 });
  fc.assert(
    fc.property(fc.array(fewLetters(0, 5), { maxLength: 12 }), stops, (pieces, stopList) => {
      const scanner = new StopScanner(stopList);
      let out = '';
      let stopped = false;
      for (const piece of pieces) {
        const step = scanner.push(piece);
        out += step.text;
        stopped = step.stopped;
        if (stopped) break;
      }
      if (!stopped) out += scanner.flush();
      expect(out).toBe(cutAtFirstStop(pieces.join(''), stopList));
    }),
    { numRuns: 2_000 },
  );
});

test('text that cannot begin a stop sequence is given out at once', () => {
  const scanner = new StopScanner(['END']);
  expect(scanner.push('hello E')).toEqual({ text: 'hello ', stopped: false });
  expect(scanner.push('A')).toEqual({ text: 'EA', stopped: false });
  expect(scanner.push('EN')).toEqual({ text: '', stopped: false });
  expect(scanner.push('D!')).toEqual({ text: '', stopped: true });
});
