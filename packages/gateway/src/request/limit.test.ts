import { newSecret } from '@subcloud/kit/secrets';
import { eventually } from '@subcloud/testkit/eventually';
import {
  MODEL,
  type NodeSetup,
  type Reply,
  codeOf,
  credentialRow,
  event,
  poolRow,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import type { ServerHttp2Stream } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { resetText } from './limit.ts';

const DAY = Math.floor(Date.now() / 86_400_000);

function limited(limits: object): [string, unknown] {
  const [key, row] = poolRow('global');
  return [key, { ...row, access: { tokens: false, limits } }];
}

/** Streams that stay open until they are told to end. */
function held(): { handler: NonNullable<NodeSetup['handler']>; open: ServerHttp2Stream[] } {
  const open: ServerHttp2Stream[] = [];
  return {
    open,
    handler: (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      stream.write(event({ choices: [{ delta: { content: 'a' } }] }));
      open.push(stream);
    },
  };
}

const rateHeaders = ({ headers }: Reply) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => /^x-ratelimit|^retry-after|^x-should/.test(name)));

describe('limits of requests', () => {
  test('answers say what is left, and past the limit it is a 429 with retry-after', async () => {
    await using t = await startTestGateway();
    await t.publish([limited({ requestsPerMinute: 2, tokensPerMinute: 100_000 })]);
    const node = await t.node({});
    const first = await t.call();
    expect(first.status).toBe(200);
    expect(rateHeaders(first)).toMatchObject({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-limit-tokens': '100000',
    });
    expect(first.headers['x-ratelimit-reset-requests']).toMatch(/^(30|29)s$/);
    expect((await t.call()).headers['x-ratelimit-remaining-requests']).toBe('0');
    const refused = await t.call();
    expect(refused.status).toBe(429);
    expect(codeOf(refused)).toBe('policy.limit_exceeded');
    expect(JSON.parse(refused.text)).toMatchObject({
      error: { type: 'rate_limit_error', details: { limit: 'requestsPerMinute', scope: 'caller', max: 2 } },
    });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(30);
    expect(refused.headers['x-ratelimit-remaining-requests']).toBe('0');
    expect(node.requests).toHaveLength(2);
    const other = newSecret('account');
    await t.publish([credentialRow(other, { principal: 'user:bob' })]);
    expect((await t.call({ key: other })).status, 'another caller has its own').toBe(200);
  });

  test('a token may have narrower ones, and the total holds for all together without telling of others', async () => {
    await using t = await startTestGateway();
    const narrow = newSecret('account');
    const bob = newSecret('account');
    await t.publish([
      limited({ requestsPerMinute: 100, total: { requestsPerMinute: 3 } }),
      credentialRow(narrow, { limits: { requestsPerMinute: 1 } }),
      credentialRow(bob, { principal: 'user:bob' }),
    ]);
    await t.node({});
    expect((await t.call({ key: narrow })).headers['x-ratelimit-limit-requests']).toBe('1');
    expect(JSON.parse((await t.call({ key: narrow })).text)).toMatchObject({ error: { details: { scope: 'token' } } });
    // Buckets refill while the test runs, so what is left is that or more.
    const left = ({ headers }: Reply): number => Number(headers['x-ratelimit-remaining-requests']);
    expect(left(await t.call({ key: bob }))).toBeGreaterThanOrEqual(99);
    expect((await t.call({ key: bob })).status).toBe(200);
    const refused = await t.call({ key: bob });
    expect(JSON.parse(refused.text)).toMatchObject({ error: { details: { scope: 'total', max: 3 } } });
    expect(left(refused), 'what all have used up together is not told').toBeGreaterThanOrEqual(98);
  });

  test('concurrent: as many as the limit, and one more the moment one has ended, however it ended', async () => {
    await using t = await startTestGateway();
    await t.publish([limited({ concurrent: 2 })]);
    const { handler, open } = held();
    await t.node({ handler });
    const stream = { body: { model: MODEL, messages: [], stream: true } };
    const calls = [t.open(stream), t.open(stream)];
    await eventually('both are served', () => open.length === 2);
    expect(codeOf(await t.call(stream))).toBe('policy.limit_exceeded');
    calls[0]?.request.destroy();
    await eventually('a place is free', async () => {
      const next = t.open(stream);
      const { statusCode } = await next.answer;
      if (statusCode !== 200) next.request.destroy();
      return statusCode === 200;
    });
    expect(codeOf(await t.call(stream))).toBe('policy.limit_exceeded');
    for (const each of open) each.end('data: [DONE]\n\n');
  });
});

describe('limits of tokens', () => {
  test('what may be used is reserved, 1,024 where the body does not say, and settled by what was used', async () => {
    await using t = await startTestGateway();
    await t.publish([limited({ tokensPerMinute: 1_500 })]);
    await t.node({});
    const unsaid = await t.call();
    expect(unsaid.status).toBe(200);
    const left = Number(unsaid.headers['x-ratelimit-remaining-tokens']);
    expect(left).toBeLessThan(1_500 - 1_024 + 30);
    // The answer used 10 tokens, so nearly everything is there again.
    const said = await t.call({ body: { model: MODEL, messages: [], max_tokens: 1_400 } });
    expect(said.status).toBe(200);
    const choices = await t.call({ body: { model: MODEL, messages: [], max_completion_tokens: 500, n: 4 } });
    expect(codeOf(choices)).toBe('policy.limit_exceeded');
    expect(rateHeaders(choices)).toMatchObject({ 'x-should-retry': 'false' });
    expect(choices.headers['retry-after']).toBeUndefined();
    expect(choices.text).toContain('smaller max_tokens');
  });

  test('a day goes on where control says that it stands, after a restart too', async () => {
    await using t = await startTestGateway();
    t.control.dayUsage = [
      { pool: 'global', principal: 'user:alice', credential: 'key_old', tokens: 4_000 },
      { pool: 'elsewhere', principal: 'user:alice', credential: 'key_old', tokens: 90_000 },
    ];
    await t.restart();
    await t.publish([limited({ tokensPerDay: 5_000 })]);
    await t.node({});
    const ask = (max_tokens: number) => t.call({ body: { model: MODEL, messages: [], max_tokens } });
    expect((await ask(900)).status).toBe(200);
    const refused = await ask(1_000);
    expect(JSON.parse(refused.text)).toMatchObject({ error: { details: { limit: 'tokensPerDay' } } });
    const untilMidnightS = (DAY + 1) * 86_400 - Date.now() / 1_000;
    expect(Math.abs(Number(refused.headers['retry-after']) - untilMidnightS) % 86_400).toBeLessThan(60);
    expect((await ask(900)).status, 'the first used ten').toBe(200);
  });
});

describe('a share of the limits', () => {
  test('without one whoever has limits is refused with 503, and whoever has none is served', async () => {
    await using t = await startTestGateway();
    t.control.share = { lo: 0, hi: 0, idleMs: 0 };
    await t.restart();
    await t.publish([limited({ concurrent: 5 }), poolRow('free')]);
    await t.node({ pools: ['global', 'free'] });
    expect(codeOf(await t.call())).toBe('platform.starting');
    expect((await t.call({ path: '/s/free/v1/chat/completions' })).status).toBe(200);
  });

  test('half of it hands out half', async () => {
    await using t = await startTestGateway();
    t.control.share = { lo: 0.5, hi: 1, idleMs: 86_400_000 };
    await t.restart();
    await t.publish([limited({ requestsPerMinute: 6 })]);
    await t.node({});
    const answers = [];
    for (let turn = 0; turn < 5; turn += 1) answers.push((await t.call()).status);
    expect(answers).toEqual([200, 200, 200, 429, 429]);
  });
});

test('a dry run serves what it would refuse, and the decision record says so', async () => {
  await using t = await startTestGateway();
  await t.publish([limited({ requestsPerMinute: 1, dryRun: true })]);
  await t.node({});
  for (let turn = 0; turn < 3; turn += 1) expect((await t.call()).status).toBe(200);
  await eventually('three records', () => t.control.decisions.length === 3);
  expect(t.control.decisions.map(({ overLimit }) => overLimit)).toEqual([
    undefined,
    ['caller requestsPerMinute'],
    ['caller requestsPerMinute'],
  ]);
});

test.each([
  [0, '0ms'],
  [119.2, '120ms'],
  [1_000, '1s'],
  [5_400, '6s'],
  [90_000, '1m30s'],
])('%d ms is written %s', (ms, text) => expect(resetText(ms)).toBe(text));
