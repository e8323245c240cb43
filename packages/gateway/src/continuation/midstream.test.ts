/** `midstream: continue` over real links: where a broken stream goes on, where it must not, and what is written of it. */
import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { LINK_CANNOT_CONTINUE, LINK_CONTINUES, LINK_HEADERS } from '@subcloud/contract/link';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { type NodeHandler, startPeerNode } from '@subcloud/testkit/peer-node';
import { startTcpProxy } from '@subcloud/testkit/tcp-proxy';
import {
  MODEL,
  type Reply,
  type TestGateway,
  answers,
  event,
  memberRow,
  poolRow,
  readReply,
  sendJson,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';

const FULL = 'Once upon a time there was a fox. 🦊 It had a red tail, and ran.';
const ASK = { model: MODEL, stream: true, messages: [{ role: 'user', content: 'Tell me a story.' }] };
const CONTINUES = { routing: { midstream: 'continue' as const } };

interface Asked {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

/** Knows FULL by heart, goes on from what it is given, and breaks off after so many bytes; Infinity: never. */
function engine(afterBytes: () => number, headers: Record<string, string> = {}): NodeHandler {
  return (stream, head, body) => {
    const last = (JSON.parse(body.toString()) as Asked).messages.at(-1);
    const said = last?.role === 'assistant' ? last.content : '';
    const rest = Array.from(FULL.slice(said.length));
    const events = [
      event({ id: 'x', choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] }),
      ...rest.map((content) => event({ id: 'x', choices: [{ index: 0, delta: { content }, finish_reason: null }] })),
      event({ id: 'x', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }),
      event({
        id: 'x',
        choices: [],
        usage: { prompt_tokens: 5 + Array.from(said).length, completion_tokens: rest.length },
      }),
      'data: [DONE]\n\n',
    ];
    const bytes = Buffer.from(events.join(''));
    const most = afterBytes();
    const continues = head[LINK_HEADERS.continues] === undefined ? {} : { [LINK_HEADERS.continues]: LINK_CONTINUES };
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream', ...continues, ...headers });
    if (most >= bytes.byteLength) return void stream.end(bytes);
    stream.write(bytes.subarray(0, most), () => setImmediate(() => stream.destroy(new Error('broken'))));
  };
}
const whole = engine(() => Infinity);
const breaks = (at = 900): NodeHandler => engine(() => at);

interface Chunk {
  readonly choices?: readonly {
    readonly delta: { readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly error?: { readonly code: string };
}

function said({ text }: Reply): string {
  return chunksOf(text)
    .map(({ choices }) => choices?.[0]?.delta.content ?? '')
    .join('');
}

function chunksOf(text: string): readonly Chunk[] {
  return text
    .split('\n\n')
    .filter((one) => one.startsWith('data: {'))
    .map((one) => JSON.parse(one.slice(6)) as Chunk);
}

async function network(): Promise<TestGateway> {
  const t = await startTestGateway();
  await t.publish([poolRow('global', CONTINUES)]);
  return t;
}

/** The first node that is asked breaks off; whoever comes second is `second`. */
async function two(t: TestGateway, first: NodeHandler, second: NodeHandler): Promise<void> {
  let asked = 0;
  const either: NodeHandler = (stream, head, body) => ((asked += 1) === 1 ? first : second)(stream, head, body);
  await t.node({ handler: either });
  await t.node({ handler: either });
}

const codes = ({ text }: Reply): readonly string[] => chunksOf(text).flatMap(({ error }) => error?.code ?? []);

test('a stream goes on at another node, wherever it broke, and is counted once with both of them', async () => {
  await using t = await network();
  let at = Infinity;
  let asked = 0;
  const handler: NodeHandler = (stream, head, body) =>
    engine(() => ((asked += 1) % 2 === 1 ? at : Infinity))(stream, head, body);
  const nodes = [await t.node({ handler }), await t.node({ handler })];
  let cuts = 0;
  for (at = 1; at < 5_000; at += 197, cuts += 1) {
    asked = 0;
    const reply = await t.call({ body: { ...ASK, stream_options: { include_usage: true } } });
    expect([at, reply.broken, said(reply)]).toEqual([at, false, FULL]);
    expect(reply.text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(reply.text.match(/"role"/g)).toHaveLength(1);
    expect(chunksOf(reply.text).at(-1)).toMatchObject({
      usage: { prompt_tokens: 5, completion_tokens: Array.from(FULL).length },
    });
  }
  const records = await eventually('all are counted', () =>
    t.control.usage.length === cuts ? t.control.usage : undefined,
  );
  for (const record of records) {
    expect(record).toMatchObject({ status: 200, promptTokens: 5, completionTokens: Array.from(FULL).length });
    expect([...(record.continuedFrom ?? []), record.node].sort()).toEqual(nodes.map(({ id }) => id).sort());
  }
  const told = await eventually('its decision', () =>
    t.control.decisions.find(({ attempts }) => attempts.length === 2),
  );
  expect(told.attempts.map(({ outcome }) => outcome)).toEqual(['interrupted', 'answered']);
  expect(told.attempts[1]?.continuesAfterBytes).toBeGreaterThanOrEqual(0);
  expect(told.attempts[0]?.continuesAfterBytes).toBeUndefined();
  expect(JSON.stringify([t.control.decisions, records])).not.toContain('fox');
}, 60_000);

test('completions go on from the prompt with what was said, at any engine', async () => {
  await using t = await network();
  const prompts: unknown[] = [];
  const first: NodeHandler = (stream, _head, body) => {
    prompts.push((JSON.parse(body.toString()) as { prompt: unknown }).prompt);
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
    stream.write(event({ choices: [{ index: 0, text: 'one ', finish_reason: null }] }));
    if (prompts.length === 1) return void setImmediate(() => setImmediate(() => stream.destroy(new Error('broken'))));
    stream.write(event({ choices: [{ index: 0, text: '', finish_reason: 'length' }] }));
    stream.end('data: [DONE]\n\n');
  };
  await two(t, first, first);
  const reply = await t.call({ path: '/v1/completions', body: { model: MODEL, stream: true, prompt: 'Count: ' } });
  expect([reply.broken, prompts]).toEqual([false, ['Count: ', 'Count: one ']]);
});

test('an engine that had said how its answer ends, and was gone before the end mark, has answered', async () => {
  await using t = await network();
  const all = [
    event({ id: 'x', choices: [{ index: 0, delta: { content: 'Yes.' }, finish_reason: null }] }),
    event({ id: 'x', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }),
  ].join('');
  const handler: NodeHandler = (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
    stream.write(all, () => setImmediate(() => stream.destroy(new Error('broken'))));
  };
  const nodes = [await t.node({ handler }), await t.node({ handler })];
  expect(await t.call({ body: ASK })).toMatchObject({ broken: false, text: `${all}data: [DONE]\n\n` });
  const counted = await t.call({ body: { ...ASK, stream_options: { include_usage: true } } });
  expect(counted.text).toMatch(/"usage":\{"prompt_tokens":\d+,"completion_tokens":1,/);
  expect(nodes.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(2);
});

/** Both begin and are then silent; whoever is asked second goes on to the end. */
function begins(): { readonly handler: NodeHandler; readonly asked: () => number } {
  let asked = 0;
  const handler: NodeHandler = (stream, head, body) => {
    if ((asked += 1) > 1) return whole(stream, head, body);
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
    stream.write(event({ id: 'x', choices: [{ index: 0, delta: { role: 'assistant', content: 'Once upon' } }] }));
  };
  return { handler, asked: () => asked };
}

test('a node that hangs in the middle is left after the time that the pool says, and is judged by it', async () => {
  using clock = controllableClock();
  await using t = await startTestGateway({ clock });
  await t.publish([poolRow('global', { routing: { midstream: 'continue', stallTimeoutMs: 5_000 } })]);
  const { handler } = begins();
  const nodes = [await t.node({ handler }), await t.node({ handler })];
  const answer = await t.open({ body: ASK }).answer;
  await once(answer, 'readable');
  const reply = readReply(answer);
  clock.advance(4_000);
  expect(nodes.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(1);
  clock.advance(2_000);
  const { broken, ...rest } = await reply;
  expect([broken, said({ broken, ...rest })]).toEqual([false, FULL]);
  const told = await eventually('its decision', () => t.control.decisions[0]);
  expect(told.attempts.map(({ outcome }) => outcome)).toEqual(['stalled', 'answered']);
  // No ghost: the node that hangs was told to stop, and its place is free.
  await eventually('the stream is closed', async () => {
    const { text } = await t.call({ method: 'GET', path: '/metrics' });
    return /^subcloud_active_requests 0$/m.test(text);
  });
});

test('a stream that was finished but for its end needs no node for it: it ends well where no retry is left', async () => {
  await using t = await startTestGateway();
  await t.publish([poolRow('global', { routing: { midstream: 'continue', retries: 0 } })]);
  const node = await t.node({
    handler(stream) {
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      stream.write(event({ id: 'x', choices: [{ index: 0, delta: { content: FULL }, finish_reason: null }] }));
      const last = event({ id: 'x', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
      stream.write(last, () => setImmediate(() => stream.destroy(new Error('broken'))));
    },
  });
  const reply = await t.call({ body: ASK });
  expect([reply.broken, codes(reply), said(reply)]).toEqual([false, [], FULL]);
  expect(reply.text.endsWith('data: [DONE]\n\n')).toBe(true);
  expect(node.requests).toHaveLength(1);
});

test('a conversation of a megabyte goes on after a stall, however many sweeps come while it is prepared', async () => {
  using clock = controllableClock();
  await using t = await startTestGateway({ clock });
  await t.publish([poolRow('global', { routing: { midstream: 'continue', stallTimeoutMs: 5_000 } })]);
  const { handler } = begins();
  await t.node({ handler });
  await t.node({ handler });
  const large = { role: 'user', content: 'x'.repeat(3_000_000) };
  const answer = await t.open({ body: { ...ASK, messages: [large] } }).answer;
  await once(answer, 'readable');
  const reply = readReply(answer);
  clock.advance(6_000);
  for (let sweeps = 0; sweeps < 4; sweeps += 1) {
    clock.advance(600);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { broken, ...rest } = await reply;
  expect([broken, codes({ broken, ...rest }), said({ broken, ...rest })]).toEqual([false, [], FULL]);
});

test('a link that dies without a word after the first byte: another node goes on once its heartbeats are missed', async () => {
  using clock = controllableClock();
  await using t = await startTestGateway({ clock });
  await t.publish([poolRow('global', CONTINUES)]);
  await using proxy = await startTcpProxy({ to: { host: '127.0.0.1', port: t.gateway.port } });
  const { handler, asked } = begins();
  const { id, key } = await t.node({ links: false });
  const far = await startPeerNode({ url: `http://127.0.0.1:${proxy.port}`, id, key, handler });
  expect(await far.linked).toBe('welcome');
  const answer = await t.open({ body: ASK }).answer;
  await once(answer, 'readable');
  const reply = readReply(answer);
  const near = await t.node({ handler });
  expect([asked(), far.requests.length]).toEqual([1, 1]);
  proxy.freeze(true);
  for (let heard = 0; heard < 3; heard += 1) {
    clock.advance(6_000);
    near.say({ type: 'heartbeat', inFlight: 0 });
    await eventually('it was heard', () => near.heard.filter(({ type }) => type === 'time').length > heard);
  }
  const { broken, ...rest } = await reply;
  expect([broken, said({ broken, ...rest }), near.requests.length]).toEqual([false, FULL, 1]);
  proxy.freeze(false);
  far.close();
});

describe('it ends with an error event', () => {
  const broken = async (t: TestGateway, body: object = ASK, code = 'upstream.interrupted'): Promise<void> => {
    const reply = await t.call({ body });
    expect([reply.status, reply.broken, codes(reply)]).toEqual([200, true, [code]]);
    expect(reply.text).not.toContain('[DONE]');
    expect(FULL.startsWith(said(reply))).toBe(true);
  };

  test.each([
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['structured output', { response_format: { type: 'json_object' } }],
    ['n > 1', { n: 2 }],
    ['logprobs', { logprobs: true }],
  ])('where the caller asked for %s, and the decision says so', async (reason, more) => {
    await using t = await network();
    await two(t, breaks(), whole);
    await broken(t, { ...ASK, ...more });
    const told = await eventually('its decision', () => t.control.decisions[0]);
    expect(told.attempts.map(({ outcome }) => outcome)).toEqual([`interrupted, not continued: ${reason}`]);
    const counted = await eventually('its usage', () => t.control.usage[0]);
    expect([t.control.usage.length, counted.estimated, counted.continuedFrom]).toEqual([1, true, undefined]);
  });

  test('where the pool does not say `continue`', async () => {
    await using t = await startTestGateway();
    await two(t, breaks(), whole);
    await broken(t);
  });

  test('where no retry is left', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('global', { routing: { midstream: 'continue', retries: 0 } })]);
    await two(t, breaks(), whole);
    await broken(t);
  });

  test('where it ended two engines: no third is asked', async () => {
    await using t = await network();
    const nodes = [];
    for (let count = 0; count < 4; count += 1) nodes.push(await t.node({ handler: breaks(600) }));
    await broken(t, ASK, 'upstream.suspect_request');
    expect(nodes.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(2);
  });

  test('where the node that broke off is the only one', async () => {
    await using t = await network();
    const node = await t.node({ handler: breaks() });
    await broken(t);
    expect(node.requests).toHaveLength(1);
  });

  test.each([
    ['says that it cannot', (stream) => sendJson(stream, 502, {}, { [LINK_HEADERS.continues]: LINK_CANNOT_CONTINUE })],
    ['does not know the question, and begins anew', engine(() => Infinity, { [LINK_HEADERS.continues]: '' })],
    ['refuses the conversation', (stream) => sendJson(stream, 400, { error: { message: 'no' } })],
    ['answers whole', answers('Hello.')],
  ] as [string, NodeHandler][])('where the other node %s', async (_what, second) => {
    await using t = await network();
    await two(t, breaks(), second);
    await broken(t);
  });
});

test('who may serve is asked of the table of that moment: neither a node that left nor a caller who was shut out goes on', async () => {
  await using t = await network();
  const streams: ServerHttp2Stream[] = [];
  const begins: NodeHandler = (stream) => {
    streams.push(stream);
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
    stream.write(event({ choices: [{ index: 0, delta: { content: 'Once' }, finish_reason: null }] }));
  };
  const nodes = [await t.node({ handler: begins }), await t.node({ handler: begins })];
  const asking = t.call({ body: ASK });
  await eventually('one has begun', () => streams.length === 1);
  const other = nodes.find(({ requests }) => requests.length === 0);
  if (other === undefined) throw new Error('one of two was asked');
  await t.publish([[memberRow('global', other.id)[0], null]]);
  streams[0]?.destroy(new Error('broken'));
  const left = await asking;
  expect([left.broken, codes(left), other.requests.length]).toEqual([true, ['upstream.interrupted'], 0]);

  await t.publish([memberRow('global', other.id)]);
  const again = t.call({ body: ASK });
  await eventually('one has begun again', () => streams.length === 2);
  const served = nodes.map(({ requests }) => requests.length);
  await t.publish([poolRow('global', { ...CONTINUES, access: { tokens: true } })]);
  streams[1]?.destroy(new Error('broken'));
  const shut = await again;
  expect(shut.broken).toBe(true);
  expect(codes(shut)[0]).toMatch(/^(policy|client)\./);
  expect(nodes.map(({ requests }) => requests.length)).toEqual(served);
});

test('nodes that say that they cannot go on cost no retry, and are no worse for it', async () => {
  await using t = await network();
  let asked = 0;
  const cannot: NodeHandler = (stream) => sendJson(stream, 502, {}, { [LINK_HEADERS.continues]: LINK_CANNOT_CONTINUE });
  const turns = [breaks(), cannot, cannot, cannot, whole];
  const handler: NodeHandler = (stream, head, body) => (turns[asked++] ?? cannot)(stream, head, body);
  for (let count = 0; count < 5; count += 1) await t.node({ handler });
  const reply = await t.call({ body: ASK });
  expect([reply.broken, said(reply)]).toEqual([false, FULL]);
});
