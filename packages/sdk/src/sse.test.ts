import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sseParser } from './sse.ts';

const text =
  'event: error\ndata: {"a":1}\n\n: comment\ndata:héllo\r\ndata: wörld\r\n\r\ndata: 3\rid: 7\r\revent: x\n\ndata\n\n';
const expected = [
  { event: 'error', data: '{"a":1}' },
  { event: 'message', data: 'héllo\nwörld' },
  { event: 'message', data: '3' },
  { event: 'message', data: '' },
];

test('events are the same wherever the network cuts the bytes', () => {
  const bytes = new TextEncoder().encode(text);
  fc.assert(
    fc.property(fc.array(fc.nat({ max: bytes.length }), { maxLength: 40 }), (cuts) => {
      const parser = sseParser(1_000);
      const ends = [...cuts.toSorted((a, b) => a - b), bytes.length];
      let start = 0;
      const events = ends.flatMap((end) => {
        const found = parser.push(bytes.subarray(start, end));
        start = end;
        return found;
      });
      expect(events).toEqual(expected);
    }),
  );
});

test('an event without an end is refused at its limit, in one line or in many', () => {
  for (const piece of ['data: xxxxxxxxxx', 'data: xxxxxxxxxx\n']) {
    const parser = sseParser(100);
    expect(() => {
      for (let round = 0; round < 20; round += 1) parser.push(new TextEncoder().encode(piece));
    }).toThrow(RangeError);
  }
});
