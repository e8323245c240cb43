import fc from 'fast-check';
import { expect, test } from 'vitest';
import { textBytes } from '../usage/estimate.ts';
import { SseRelay } from './sse-relay.ts';

const USAGE = { prompt_tokens: 11, completion_tokens: 5, total_tokens: 16 };
const content = (text: string): string =>
  `data: ${JSON.stringify({ choices: [{ delta: { content: text } }], usage: null })}`;
const usageOnly = `data: ${JSON.stringify({ choices: [], usage: USAGE })}`;

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom(
    'data: [DONE]',
    '\n\n',
    '"usage":{"prompt_tokens":1,"completion_tokens":1}',
    '{"choices":[]}',
    '\r\n\r\n',
  ),
);
const stream = fc.record({
  texts: fc.array(text, { maxLength: 8 }),
  newline: fc.constantFrom('\n', '\r\n'),
  cuts: fc.array(fc.nat(4_000), { maxLength: 30 }),
  comment: fc.boolean(),
  hides: fc.boolean(),
});

function chunks(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const edges = [...new Set(cuts.map((cut) => cut % (bytes.byteLength + 1)))].sort((a, b) => a - b);
  return [0, ...edges].map((start, index) => bytes.subarray(start, edges[index] ?? bytes.byteLength));
}

test('wherever a stream is cut into chunks: the caller gets every event but the one that was not asked for', () => {
  fc.assert(
    fc.property(stream, ({ texts, newline, cuts, comment, hides }) => {
      const events = texts.map(content);
      if (comment) events.unshift(': ping');
      const whole = [...events, usageOnly, 'data: [DONE]'].map((event) => `${event}${newline}${newline}`);
      const expected = whole.filter((event) => !(hides && event.startsWith(usageOnly))).join('');
      const relay = new SseRelay(hides);
      const out: Buffer[] = [];
      for (const chunk of chunks(Buffer.from(whole.join('')), cuts)) out.push(...relay.push(chunk));
      expect(Buffer.concat([...out, relay.end ?? Buffer.alloc(0)]).toString()).toBe(expected);
      expect(relay.end?.toString()).toBe(`data: [DONE]${newline}${newline}`);
      expect(relay.counts).toEqual({ promptTokens: 11, completionTokens: 5 });
      expect(relay.midEvent).toBe(false);
    }),
    { numRuns: 500 },
  );
});

test('a whole event leaves with the chunk that completes it', () => {
  fc.assert(
    fc.property(stream, ({ texts, newline, cuts }) => {
      const bytes = Buffer.from(texts.map((one) => `${content(one)}${newline}${newline}`).join(''));
      const relay = new SseRelay(true);
      let seen = 0;
      let sent = 0;
      for (const chunk of chunks(bytes, cuts)) {
        seen += chunk.byteLength;
        for (const piece of relay.push(chunk)) sent += piece.byteLength;
        const text = bytes.subarray(0, seen).toString('latin1');
        const boundary = text.lastIndexOf(`${newline}${newline}`);
        expect(sent).toBe(boundary === -1 ? 0 : boundary + 2 * newline.length);
      }
    }),
  );
});

test('an event too long to hold goes out as it comes, and the relay says that it is half sent', () => {
  const relay = new SseRelay(true);
  const long = Buffer.from(`data: ${'x'.repeat(40_000)}`);
  expect(relay.push(long).map((piece) => piece.byteLength)).toEqual([long.byteLength]);
  expect(relay.midEvent).toBe(true);
  expect(Buffer.concat([...relay.push(Buffer.from(`y\n\n${content('a')}\n\n`))]).toString()).toBe(
    `y\n\n${content('a')}\n\n`,
  );
  expect(relay.midEvent).toBe(false);
});

test('what comes after the end mark goes nowhere', () => {
  const relay = new SseRelay(false);
  expect(relay.push(Buffer.from('data: [DONE]\n\ndata: more\n\n'))).toEqual([]);
  expect(relay.push(Buffer.from('data: more\n\n'))).toEqual([]);
});

const delta = fc.oneof(
  fc.record({ content: text }),
  fc.record({ content: fc.constant(null) }),
  fc.record({ reasoning_content: text }),
  fc.record({ tool_calls: fc.array(fc.record({ function: fc.record({ arguments: text }) }), { maxLength: 1 }) }),
);
const events = fc.array(fc.record({ id: fc.constantFrom('1', '1', '1', '22'), delta, spaced: fc.boolean() }), {
  maxLength: 20,
});

test('texts are counted as if each event had been searched, wherever in it the text stands', () => {
  fc.assert(
    fc.property(events, fc.array(fc.nat(4_000), { maxLength: 30 }), (given, cuts) => {
      const whole = given.map(({ id, delta: one, spaced }) => {
        const json = JSON.stringify({ id, choices: [{ delta: one }] });
        return `data: ${spaced ? json.replaceAll('":', '": ') : json}\n\n`;
      });
      const relay = new SseRelay(true);
      for (const chunk of chunks(Buffer.from(whole.join('')), cuts)) relay.push(chunk);
      const bytes = whole.map((event) => textBytes(Buffer.from(event)));
      expect([relay.textBytes, relay.textEvents]).toEqual([
        bytes.reduce((sum, one) => sum + one, 0),
        bytes.filter((one) => one > 0).length,
      ]);
    }),
    { numRuns: 500 },
  );
});

test.each([
  ['the last text', [2, 3], 3],
  ['every text, and once more alone', [2, 3, null, 4], 4],
])('counts that stand beside %s are the last ones', (_where, completions, last) => {
  const relay = new SseRelay(true);
  for (const completion of completions) {
    const usage = { prompt_tokens: 1, completion_tokens: completion ?? last };
    const choices = completion === null ? [] : [{ delta: { content: 'a' } }];
    relay.push(Buffer.from(`data: ${JSON.stringify({ choices, usage })}\n\n`));
  }
  expect(relay.counts).toEqual({ promptTokens: 1, completionTokens: last });
});
