import type { ServerHttp2Stream } from 'node:http2';
import { LINK_ENGINE_ENDED, LINK_HEADERS } from '@subcloud/contract/link';
import { eventually } from '@subcloud/testkit/eventually';
import type { NodeHandler } from '@subcloud/testkit/peer-node';
import { MODEL, answers, codeOf, memberRow, poolRow, sendJson, startTestGateway } from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';

const resets: NodeHandler = (stream) => stream.destroy(new Error('broken'));
const says =
  (status: number, headers: Record<string, string> = {}): NodeHandler =>
  (stream) =>
    sendJson(stream, status, { error: { message: `engine says ${status}` } }, headers);
const headThenReset: NodeHandler = (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
  setImmediate(() => stream.destroy(new Error('broken')));
};

describe('before the first byte', () => {
  test.each([
    ['a reset', resets],
    ['a head without a byte, then a reset', headThenReset],
    ['500', says(500)],
    ['503', says(503)],
    ['429', says(429)],
    ['404', says(404)],
    ['401 of its engine', says(401)],
    ['421', says(421)],
    ['a redirect', says(302, { location: 'http://elsewhere' })],
  ])('%s: another node answers', async (_name, bad) => {
    await using t = await startTestGateway();
    const first = await t.node({ handler: bad });
    const good = await t.node({});
    for (let round = 0; round < 12; round += 1) expect((await t.call()).status).toBe(200);
    expect(first.requests.length).toBeGreaterThan(0);
    expect(good.requests).toHaveLength(12);
  });

  test('what a node that failed took is told apart from the time of the gateway', async () => {
    await using t = await startTestGateway();
    const bad = await t.node({ handler: says(500) });
    await t.node({});
    for (let round = 0; round < 12; round += 1) {
      const failedBefore = bad.requests.length;
      const timing = String((await t.call()).headers['server-timing']);
      const retried = bad.requests.length > failedBefore;
      expect(timing).toMatch(
        retried ? /^gateway;dur=[\d.]+, retry;dur=[\d.]+, node;dur=[\d.]+$/ : /^gateway;dur=[\d.]+, node;dur=[\d.]+$/,
      );
    }
    expect(bad.requests.length).toBeGreaterThan(0);
  });

  test('a retry stays in the pool and never goes to the same node twice', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('eu')]);
    const bad = [await t.node({ pools: ['eu'], handler: resets }), await t.node({ pools: ['eu'], handler: resets })];
    const outsider = await t.node({ pools: ['global'] });
    expect(codeOf(await t.call({ path: '/s/eu/v1/chat/completions' }))).toBe('upstream.suspect_request');
    expect(bad.map(({ requests }) => requests.length)).toEqual([1, 1]);
    expect(outsider.requests).toEqual([]);
  });

  test('at most two retries', async () => {
    await using t = await startTestGateway();
    const nodes = [];
    for (let count = 0; count < 5; count += 1) nodes.push(await t.node({ handler: says(401) }));
    expect(codeOf(await t.call())).toBe('upstream.failed');
    expect(nodes.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(3);
  });

  test.each([
    ['whose streams were reset', resets],
    ['whose links died', (stream) => stream.session?.destroy()],
    [
      'whose agents say that the engine ended',
      (stream) => sendJson(stream, 502, {}, { [LINK_HEADERS.engine]: LINK_ENGINE_ENDED }),
    ],
  ] as [string, NodeHandler][])(
    'a request that ended two engines, %s, is not tried on a third',
    async (_name, handler) => {
      await using t = await startTestGateway();
      const nodes = [];
      for (let count = 0; count < 5; count += 1) nodes.push(await t.node({ handler }));
      expect(codeOf(await t.call())).toBe('upstream.suspect_request');
      expect(nodes.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(2);
    },
  );

  test('membership is asked again at the retry: a node that left meanwhile is not tried', async () => {
    await using t = await startTestGateway();
    const held: ServerHttp2Stream[] = [];
    const hold: NodeHandler = (stream) => void held.push(stream);
    const nodes = [await t.node({ handler: hold }), await t.node({ handler: hold })];
    const calling = t.call();
    await eventually('one was asked', () => held.length === 1);
    const other = nodes.find(({ requests }) => requests.length === 0);
    await t.publish([[memberRow('global', other?.id ?? '')[0], null]]);
    held[0]?.destroy(new Error('broken'));
    expect(codeOf(await calling)).toBe('upstream.failed');
    expect(other?.requests).toEqual([]);
  });

  test('a body above the limit is not sent twice', async () => {
    await using t = await startTestGateway();
    const nodes = [await t.node({ handler: resets }), await t.node({ handler: resets })];
    const reply = await t.call({ body: { model: MODEL, text: 'x'.repeat(4_194_304) } });
    expect(codeOf(reply)).toBe('upstream.failed');
    expect(nodes.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(1);
  });
});

describe('what the engine says', () => {
  test.each([400, 413, 422])("the caller's own fault, %i, passes as it is and is not retried", async (status) => {
    await using t = await startTestGateway();
    const nodes = [
      await t.node({ handler: says(status, { 'set-cookie': 'a=b' }) }),
      await t.node({ handler: says(status) }),
    ];
    const reply = await t.call();
    expect([reply.status, reply.text]).toEqual([status, `{"error":{"message":"engine says ${status}"}}`]);
    expect(reply.headers['set-cookie']).toBeUndefined();
    expect(reply.headers['content-security-policy']).toBe('sandbox');
    expect(nodes.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(1);
  });

  test.each([429, 500, 503])('%i from every node passes in the end', async (status) => {
    await using t = await startTestGateway();
    await t.node({ handler: says(status) });
    await t.node({ handler: says(status) });
    const reply = await t.call();
    expect([reply.status, reply.text]).toEqual([status, `{"error":{"message":"engine says ${status}"}}`]);
  });

  test("a node's quarrel with its own engine never looks like the caller's", async () => {
    await using t = await startTestGateway();
    await t.node({ handler: says(401) });
    expect(codeOf(await t.call())).toBe('upstream.failed');
  });
});

describe('the second lock', () => {
  const alarms = (t: Awaited<ReturnType<typeof startTestGateway>>) =>
    t.control.reports.flatMap(({ events }) => events).filter(({ type }) => type === 'lock-refusal');

  test('a 421 of a newer document is a race: no alarm', async () => {
    await using t = await startTestGateway();
    await t.node({ handler: says(421, { 'x-subcloud-document': '1.5.999999' }) });
    expect(codeOf(await t.call())).toBe('upstream.failed');
    await t.node({});
    expect((await t.call()).status).toBe(200);
    expect(alarms(t)).toEqual([]);
  });

  test.each([{ 'x-subcloud-document': '1.5.1' }, { 'x-subcloud-document': 'x' }, {}])(
    'any other 421 is reported, %j',
    async (headers) => {
      await using t = await startTestGateway();
      const node = await t.node({ handler: says(421, headers) });
      const version = t.gateway.tableVersion();
      const reply = await t.call();
      expect(codeOf(reply)).toBe('upstream.failed');
      await eventually('the alarm is at control', () => alarms(t).length === 1);
      expect(alarms(t)[0]).toEqual({
        type: 'lock-refusal',
        node: node.id,
        pool: 'global',
        model: MODEL,
        tableVersion: version,
        requestId: reply.headers['x-request-id'],
      });
    },
  );
});

test('the decision record says who was tried, and why it went on', async () => {
  await using t = await startTestGateway();
  const bad = await t.node({ handler: says(503) });
  const good = await t.node({ handler: answers() });
  await eventually('both were tried by one request', async () => {
    await t.call();
    return bad.requests.length > 0;
  });
  const record = await eventually('its record', () =>
    t.control.decisions.find(({ attempts }) => attempts.length === 2),
  );
  expect(record.attempts.map(({ node, outcome }) => [node, outcome])).toEqual([
    [bad.id, 'refused: 503'],
    [good.id, 'answered'],
  ]);
  expect(record).toMatchObject({ outcome: 'answered', status: 200, pool: 'global', poolBy: 'default', model: MODEL });
  expect(JSON.stringify(t.control.decisions)).not.toContain('Hello');
});
