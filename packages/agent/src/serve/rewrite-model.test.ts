import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createModelRewriter, rewrittenForm } from './rewrite-model.ts';

const ID = 'meta/Llama-"3"';

function rewriteCut(form: 'json' | 'events', text: string, cuts: readonly number[]): string {
  const bytes = Buffer.from(text);
  const rewrite = createModelRewriter(form, ID);
  const at = [...new Set([0, ...cuts.map((cut) => cut % (bytes.byteLength + 1)), bytes.byteLength])].sort(
    (a, b) => a - b,
  );
  const out = at.slice(1).map((end, index) => rewrite(bytes.subarray(at[index], end)));
  return Buffer.concat(out).toString('utf8');
}

const cuts = fc.array(fc.nat(100_000), { maxLength: 40 });
const answer = fc.record(
  {
    model: fc.oneof(fc.string(), fc.constant('m"\\\n'), fc.constant(null), fc.integer()),
    choices: fc.array(fc.record({ model: fc.string(), text: fc.string() })),
    usage: fc.jsonValue(),
    'a"model': fc.string(),
  },
  { requiredKeys: [] },
);

test('exactly the top-level model of a JSON answer is replaced, wherever the chunks are cut', () => {
  fc.assert(
    fc.property(answer, fc.constantFrom(undefined, 1), cuts, (value, indent, at) => {
      const text = JSON.stringify(value, null, indent);
      const expected = typeof value.model === 'string' ? { ...value, model: ID } : value;
      expect(JSON.parse(rewriteCut('json', text, at))).toEqual(JSON.parse(JSON.stringify(expected)));
    }),
  );
});

test('every event of a stream is rewritten, wherever the chunks are cut and however lines end', () => {
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 6 }), fc.constantFrom('\n', '\r\n', '\r'), cuts, (values, end, at) => {
      const event = (value: unknown): string => `event: e${end}data: ${JSON.stringify(value)}${end}${end}`;
      const wrap = (all: readonly unknown[]): string =>
        `: "model":"a comment"${end}${end}${all.map(event).join('')}data: [DONE]${end}${end}`;
      const expected = values.map((value) => (typeof value.model === 'string' ? { ...value, model: ID } : value));
      expect(rewriteCut('events', wrap(values), at)).toBe(wrap(expected));
    }),
  );
});

test('whatever is no JSON object with a model passes as it is', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.jsonValue().map((value) => JSON.stringify([value])),
      ),
      cuts,
      (text, at) => {
        fc.pre(!text.includes('model'));
        const clean = Buffer.from(text).toString('utf8');
        expect(rewriteCut('json', clean, at)).toBe(clean);
        expect(rewriteCut('events', clean, at)).toBe(clean);
      },
    ),
  );
});

test('an escaped key is the same key', () => {
  expect(JSON.parse(rewriteCut('json', '{"\\u006dodel":"x"}', [3]))).toEqual({ model: ID });
});

test('a broken event spoils no later one', () => {
  const text = 'data: {"model":"unfinished\n\ndata: {"model":"x"}\n\n';
  expect(rewriteCut('events', text, [])).toBe(
    `data: {"model":${JSON.stringify(ID)}\n\ndata: {"model":${JSON.stringify(ID)}}\n\n`,
  );
});

test('only JSON and event streams are touched', () => {
  expect(rewrittenForm('application/json; charset=utf-8')).toBe('json');
  expect(rewrittenForm('Text/Event-Stream')).toBe('events');
  expect(rewrittenForm('audio/mpeg')).toBeUndefined();
  expect(rewrittenForm(undefined)).toBeUndefined();
});
