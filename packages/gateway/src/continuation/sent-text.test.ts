/** Streams that break anywhere, put together from several engines: what a caller reads is one answer, whole and once. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteBudget } from '../request/byte-budget.ts';
import { scanBody } from '../request/scan-body.ts';
import { SseRelay } from '../request/sse-relay.ts';
import { continuedBody } from './continued-body.ts';
import { MAX_SENT_BYTES, SentText } from './sent-text.ts';

interface Chat {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly prompt?: string;
  readonly max_tokens?: number;
}

/** An engine that knows one answer by heart; like some chat templates it cuts white space off the end of what it goes on with. */
function engineStream(full: string, body: Chat, id: string, size: number): Buffer {
  const last = body.messages?.at(-1);
  const prefix = (last?.role === 'assistant' ? last.content : (body.prompt ?? '').slice('PROMPT:'.length)).trimEnd();
  if (!full.startsWith(prefix)) throw new Error('this is not what was said');
  const letters = Array.from(full.slice(prefix.length));
  const most = body.max_tokens ?? Infinity;
  const tokens: string[] = [];
  for (let at = 0; at < letters.length && tokens.length < most; at += size) {
    tokens.push(letters.slice(at, at + size).join(''));
  }
  const chat = body.messages !== undefined;
  // Some say who speaks in an event of its own, some with the first text.
  const [role, firstRole] =
    size % 2 === 0 ? [{ role: 'assistant', content: '' }, {}] : [undefined, { role: 'assistant' }];
  const event = (choices: readonly object[], more: object = {}): string =>
    `data: ${JSON.stringify({ id, object: 'chunk', created: 1, model: 'm', choices, ...more })}\n\n`;
  const piece = (content: string, at: number): object =>
    chat ? { delta: { ...(at === 0 ? firstRole : {}), content } } : { text: content };
  const opening = chat
    ? [': still here\n\n', ...(role === undefined ? [] : [event([{ index: 0, delta: role, finish_reason: null }])])]
    : [];
  const ends = tokens.join('').length < full.length - prefix.length ? 'length' : 'stop';
  return Buffer.from(
    [
      ...opening,
      ...tokens.map((text, at) => event([{ index: 0, ...piece(text, at), finish_reason: null }])),
      event([{ index: 0, ...(chat ? { delta: {} } : { text: '' }), finish_reason: ends }]),
      event([], { usage: { prompt_tokens: 10 + prefix.length, completion_tokens: tokens.length, total_tokens: 0 } }),
      'data: [DONE]\n\n',
    ].join(''),
  );
}

interface Heard {
  readonly text: string;
  readonly finishes: readonly string[];
  readonly roles: number;
  readonly ids: ReadonlySet<string>;
}

function hear(bytes: Buffer, chat: boolean): Heard {
  const text = bytes.toString('utf8');
  expect(Buffer.from(text).equals(bytes)).toBe(true);
  const events = text
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map(
      (event) =>
        JSON.parse(event.slice(6)) as {
          id: string;
          choices: { delta?: { content?: string; role?: string }; text?: string; finish_reason: string | null }[];
        },
    );
  const choices = events.flatMap((event) => event.choices);
  return {
    text: choices.map((choice) => (chat ? (choice.delta?.content ?? '') : (choice.text ?? ''))).join(''),
    finishes: choices.flatMap(({ finish_reason: finish }) => (finish === null ? [] : [finish])),
    roles: choices.filter(({ delta }) => delta?.role !== undefined).length,
    ids: new Set(events.map(({ id }) => id)),
  };
}

const words = fc.array(fc.constantFrom('Ω', '😀', 'a', ' ', '\n', '  ', 'é', '"', '\\', 'word', '中文', '\t'), {
  maxLength: 30,
});
const cuts = fc.array(fc.record({ at: fc.nat(4_000), size: fc.integer({ min: 1, max: 5 }) }), {
  minLength: 1,
  maxLength: 4,
});

describe('an answer whose engines break off anywhere, also inside a character or an event', () => {
  test.each(['chat', 'completion'] as const)('%s: nothing is said twice and nothing is left out', async (kind) => {
    const chat = kind === 'chat';
    let continued = 0;
    await fc.assert(
      fc.asyncProperty(words, cuts, fc.integer({ min: 1, max: 40 }), async (pieces, breaks, chunk) => {
        // What comes after a prompt is raw: an engine that cuts white space there would be another one.
        const full = chat ? pieces.join('') : pieces.join('').replaceAll(/\s/g, '_');
        const ask = chat ? { messages: [{ role: 'user', content: 'x' }] } : { prompt: 'PROMPT:' };
        const scanned = scanBody(Buffer.from(JSON.stringify({ model: 'm', stream: true, ...ask })));
        const sent = new SentText(chat ? 'delta' : 'text', byteBudget(1e9));
        const out: Buffer[] = [];
        let body = scanned;
        let relay = new SseRelay(true, sent);
        for (const [turn, { at, size }] of [...breaks, { at: -1, size: 1 }].entries()) {
          const asked = JSON.parse(Buffer.concat(body.pieces).toString()) as Chat;
          const whole = engineStream(full, asked, `answer-${turn}`, size);
          const bytes = at < 0 ? whole : whole.subarray(0, at % whole.byteLength);
          for (let from = 0; from < bytes.byteLength; from += chunk) {
            out.push(...relay.push(bytes.subarray(from, from + chunk)));
          }
          if (relay.end !== undefined) out.push(relay.end);
          if (relay.end !== undefined) break;
          expect(relay.failed).toBe(false);
          if (sent.finished) {
            out.push(sent.ending(undefined, undefined));
            break;
          }
          const next = await continuedBody(scanned, chat, sent);
          if (next.kind !== 'body') throw new Error(JSON.stringify(next));
          if (sent.text !== '') continued += 1;
          sent.resume(next.again);
          body = next.scanned;
          relay = new SseRelay(true, sent);
        }
        const heard = hear(Buffer.concat(out), chat);
        expect(heard.text).toBe(full);
        expect(heard.finishes).toEqual(['stop']);
        // An answer of no text at all has nobody to say it, where an engine tells that with the first text.
        expect(heard.roles).toBe(chat && full !== '' ? 1 : Math.min(1, heard.roles));
        expect(heard.ids.size).toBe(1);
        expect(Buffer.concat(out).toString().endsWith('data: [DONE]\n\n')).toBe(true);
      }),
      { numRuns: 300 },
    );
    expect(continued).toBeGreaterThan(50);
  });

  test('a limit of tokens is that of the whole answer', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.nat(3_000), async (most, at) => {
        const full = 'abcdefghijkl';
        const ask = { model: 'm', stream: true, max_tokens: most, messages: [{ role: 'user', content: 'x' }] };
        const scanned = scanBody(Buffer.from(JSON.stringify(ask)));
        const sent = new SentText('delta', byteBudget(1e9));
        const whole = engineStream(full, ask, 'one', 1);
        const out = [...new SseRelay(true, sent).push(whole.subarray(0, at % (whole.byteLength - 20)))];
        const next = await continuedBody(scanned, true, sent);
        if (next.kind === 'refused') throw new Error(next.reason);
        if (sent.finished) out.push(sent.ending(undefined, undefined));
        else if (next.kind === 'length reached') out.push(sent.ending('length', undefined));
        else {
          sent.resume(next.again);
          const body = JSON.parse(Buffer.concat(next.scanned.pieces).toString()) as Chat;
          out.push(...new SseRelay(true, sent).push(engineStream(full, body, 'two', 1)));
        }
        const heard = hear(Buffer.concat(out), true);
        expect(heard.text).toBe(full.slice(0, most));
        // An engine that is asked for just the rest may say that this was all of it.
        expect(heard.finishes).toHaveLength(1);
      }),
    );
  });
});

const CHUNK = { id: 'a', choices: [{ index: 0, delta: { content: 'Hello' }, finish_reason: null }] };
const event = (value: object): Buffer => Buffer.from(`data: ${JSON.stringify(value)}\n\n`);
async function after(events: readonly object[], more: object = {}): Promise<unknown> {
  const messages = [{ role: 'user', content: 'x' }];
  const scanned = scanBody(Buffer.from(JSON.stringify({ model: 'm', stream: true, messages, ...more })));
  const sent = new SentText('delta', byteBudget(1e9));
  const relay = new SseRelay(true, sent);
  for (const value of events) relay.push(event(value));
  const next = await continuedBody(scanned, true, sent);
  return next.kind === 'refused' ? next.reason : next.kind;
}

describe('nobody goes on with what cannot be kept', () => {
  test.each([
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['structured output', { response_format: { type: 'json_object' } }],
    ['structured output', { guided_regex: 'a+' }],
    ['n > 1', { n: 2 }],
    ['logprobs', { logprobs: true }],
    ['logprobs', { top_logprobs: 3 }],
    ['echo', { echo: true }],
    ['a message begun by the caller', { messages: [{ role: 'assistant', content: 'x' }] }],
    ['a message begun by the caller', { continue_final_message: true }],
    ['a stop sequence may have begun', { stop: ['lord'] }],
    ['an ambiguous body', { echo: false, ECHO: true }],
  ])('%s', async (reason, more) => {
    expect(await after([CHUNK], more)).toBe(reason);
  });

  test.each([
    { tools: [], n: 1, logprobs: false, response_format: { type: 'text' }, stop: ['x', 'Hello'] },
    { top_logprobs: null, tools: null, stop: null, max_tokens: null },
    { add_generation_prompt: true, continue_final_message: false },
  ])('what asks for none of it is no hindrance: %j', async (more) => {
    expect(await after([CHUNK], more)).toBe('body');
  });

  const choice = (fields: object): object => ({ id: 'a', choices: [{ index: 0, finish_reason: null, ...fields }] });
  test.each([
    ['tools', choice({ delta: { tool_calls: [{ index: 0 }] } })],
    ['more than text', choice({ delta: { reasoning_content: 'hm' } })],
    ['logprobs', choice({ delta: { content: 'x' }, logprobs: { content: [] } })],
    ['more than one choice', { choices: [{ index: 1, delta: { content: 'x' } }] }],
  ])('an answer with %s', async (reason, value) => {
    expect(await after([CHUNK, value, CHUNK])).toBe(reason);
  });

  test('an answer of more text than is kept', async () => {
    const large = choice({ delta: { content: 'x'.repeat(30_000) } });
    const count = Math.ceil(MAX_SENT_BYTES / 30_000);
    expect(await after(Array.from({ length: count - 1 }, () => large))).toBe('body');
    expect(await after(Array.from({ length: count }, () => large))).toBe('more text than is kept');
  });

  test('where memory is short nothing is kept, and what was is given back', () => {
    const budget = byteBudget(8);
    const sent = new SentText('delta', budget);
    const relay = new SseRelay(true, sent);
    relay.push(event(CHUNK));
    expect(budget.usedBytes).toBe(5);
    relay.push(event(CHUNK));
    expect([budget.usedBytes, sent.spoilt]).toEqual([0, 'no memory left to keep the text']);
  });
});

test('an engine that says that it failed is not relayed; text that goes another way stops there', () => {
  const sent = new SentText('delta', byteBudget(1e9));
  const relay = new SseRelay(true, sent);
  expect(relay.push(event({ error: { message: 'EngineDeadError' } }))).toEqual([]);
  expect(relay.failed).toBe(true);
  sent.resume('\n\n');
  const next = new SseRelay(true, sent);
  expect(
    next.push(event({ ...CHUNK, choices: [{ index: 0, delta: { content: '\n' }, finish_reason: null }] })),
  ).toEqual([]);
  expect(next.push(event({ ...CHUNK, choices: [{ index: 0, delta: { content: 'X' }, finish_reason: null }] }))).toEqual(
    [],
  );
  expect([next.failed, sent.diverged]).toEqual([true, true]);
});

test('the changed body is the same JSON but for what was changed, wherever its members stand', async () => {
  const members = [
    ['model', 'm'],
    ['stream', true],
    ['messages', [{ role: 'user', content: 'x' }]],
    ['subcloud', { sort: 'load' }],
    ['max_tokens', 9],
    ['temperature', 0.5],
  ] as const;
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray([...members], { minLength: 6 }), async (order) => {
      const sent = new SentText('delta', byteBudget(1e9));
      new SseRelay(true, sent).push(event(CHUNK));
      const scanned = scanBody(Buffer.from(JSON.stringify(Object.fromEntries(order))));
      const next = await continuedBody({ ...scanned, model: 'other' }, true, sent);
      if (next.kind !== 'body') throw new Error(next.kind);
      expect(JSON.parse(Buffer.concat(next.scanned.pieces).toString())).toEqual({
        model: 'other',
        stream: true,
        stream_options: { include_usage: true },
        temperature: 0.5,
        max_tokens: 8,
        continue_final_message: true,
        add_generation_prompt: false,
        messages: [
          { role: 'user', content: 'x' },
          { role: 'assistant', content: 'Hello' },
        ],
      });
    }),
  );
});
