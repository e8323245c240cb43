/** Internal APIs at the gateway alone, over real links: who is asked, when another one is, and what passes. */
import { randomBytes } from 'node:crypto';
import { LINK_HEADERS, LINK_UNSENT } from '@subcloud/contract/link';
import type { DeclaredApi } from '@subcloud/policy/internal-api';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import type { NodeHandler } from '@subcloud/testkit/peer-node';
import {
  type TestGateway,
  codeOf,
  poolRow,
  readReply,
  sendJson,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';

const RAG: DeclaredApi = { name: 'rag', methods: ['GET', 'POST'], paths: ['/search'] };
const HOSTS = { pools: ['lab'], models: ['api:rag'] };
const SEARCH = { path: '/s/lab/apis/rag/search', method: 'GET' };

async function network(): Promise<TestGateway> {
  const t = await startTestGateway();
  await t.publish([poolRow('lab', { apis: [RAG] })]);
  return t;
}
const echoes: NodeHandler = (stream, _headers, body) => sendJson(stream, 200, { bytes: body.byteLength });
const unsent: NodeHandler = (stream) => sendJson(stream, 502, {}, { [LINK_HEADERS.engine]: LINK_UNSENT });

describe('another node is tried', () => {
  const asked = async (first: NodeHandler, body?: string): Promise<[number, number]> => {
    await using t = await network();
    let count = 0;
    const either: NodeHandler = (stream, headers, bytes) =>
      ((count += 1) === 1 ? first : echoes)(stream, headers, bytes);
    await t.node({ ...HOSTS, handler: either });
    await t.node({ ...HOSTS, handler: either });
    const reply = await t.call(body === undefined ? SEARCH : { ...SEARCH, method: 'POST', body });
    return [reply.status, count];
  };

  test.each([
    ['by the word of its agent', unsent],
    ['by its lock', (stream) => sendJson(stream, 421, {})],
  ] as [string, NodeHandler][])('where the API has seen nothing, %s', async (_what, first) => {
    expect(await asked(first)).toEqual([200, 2]);
  });

  test.each([
    ['its stream broke', (stream) => stream.destroy(new Error('broken')), 502],
    ['its link died', (stream) => stream.session?.destroy(), 502],
    ['its agent says that it failed', (stream) => sendJson(stream, 502, {}, { [LINK_HEADERS.engine]: 'failed' }), 502],
    ['it says 500 itself', (stream) => sendJson(stream, 500, { own: true }), 500],
    ['it says 429 itself', (stream) => sendJson(stream, 429, { own: true }), 429],
  ] as [string, NodeHandler, number][])('and never where it may have: %s', async (_what, first, status) => {
    expect(await asked(first)).toEqual([status, 1]);
  });

  test('nor where a body has begun to go there', async () => {
    expect(await asked(unsent, '{"q":1}')).toEqual([502, 1]);
  });
});

test('a body goes on as it comes, before it is whole, and a caller that leaves takes its request along', async () => {
  await using t = await network();
  let arrived = 0;
  let gone = false;
  const node = await t.node({ ...HOSTS, handler: echoes });
  node.session.on('stream', (stream) => {
    stream.on('data', (part: Buffer) => (arrived += part.byteLength));
    stream.on('aborted', () => (gone = true));
  });
  const { request } = t.open({ ...SEARCH, method: 'POST', body: 'x', headers: { 'content-length': '1000000' } });
  request.on('error', () => {});
  await eventually('the first byte is there', () => arrived === 1);
  request.destroy();
  await eventually('it is reset', () => gone);
  expect(t.control.usage).toEqual([]);
});

test('a body that is announced too large is refused, and its try ends: the node has nothing to do with it', async () => {
  await using t = await network();
  const node = await t.node({ ...HOSTS, handler: echoes });
  const { request, answer } = t.open({
    ...SEARCH,
    method: 'POST',
    body: 'x',
    headers: { 'content-length': '40000000' },
  });
  request.on('error', () => {});
  const reply = await readReply(await answer);
  expect([reply.status, codeOf(reply), node.requests.length]).toEqual([413, 'client.too_large', 0]);
  const told = await eventually('its decision', () => t.control.decisions[0]);
  expect(told.attempts.map(({ outcome }) => outcome)).toEqual(['unsent: client.too_large']);
});

test('megabytes pass both ways, and are one record of no tokens', async () => {
  await using t = await network();
  const large = randomBytes(3_000_000);
  await t.node({
    ...HOSTS,
    handler: (stream, _headers, body) => {
      stream.respond({ ':status': 200, 'content-type': 'application/octet-stream' });
      stream.end(body);
    },
  });
  const answer = await t.open({ ...SEARCH, method: 'POST', body: large }).answer;
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part as Buffer);
  expect(Buffer.concat(parts).equals(large)).toBe(true);
  const [record] = await eventually('its usage', () => (t.control.usage.length === 1 ? t.control.usage : undefined));
  expect(record).toMatchObject({ model: 'api:rag', pool: 'lab', promptTokens: 0, completionTokens: 0, status: 200 });
});

test('who hosts it not, and who is away, is not asked: 503 with the reasons, and never another pool', async () => {
  await using t = await network();
  const elsewhere = await t.node({ ...HOSTS, pools: ['global'], handler: echoes });
  const none = await t.call(SEARCH);
  expect([none.status, codeOf(none), elsewhere.requests.length]).toEqual([503, 'routing.no_eligible_node', 0]);
  const reply = await readReply(await t.open({ ...SEARCH, path: '/s/lab/apis/rag/other' }).answer);
  expect([reply.status, codeOf(reply)]).toEqual([404, 'client.not_found']);
});

test('a caller that reads nothing is given up before its agent gives up the API', async () => {
  using clock = controllableClock();
  await using t = await startTestGateway({ clock });
  await t.publish([poolRow('lab', { apis: [RAG] })]);
  let closed = false;
  const node = await t.node({ ...HOSTS, handler: () => undefined });
  node.session.on('stream', (stream) => {
    stream.on('close', () => (closed = true));
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'content-type': 'text/plain' });
    stream.write(Buffer.alloc(16_000_000));
  });
  const { request, answer } = t.open({
    ...SEARCH,
    method: 'POST',
    body: 'x',
    headers: { 'content-length': '1000000' },
  });
  request.on('error', () => {});
  const response = await answer;
  response.on('error', () => {});
  response.pause();
  for (let passedMs = 0; passedMs < 270_000 && !closed; passedMs += 6_000) {
    const heard = node.heard.filter(({ type }) => type === 'time').length;
    clock.advance(6_000);
    node.say({ type: 'heartbeat', inFlight: 1 });
    await eventually('it was heard', () => node.heard.filter(({ type }) => type === 'time').length > heard);
  }
  await eventually('its stream is reset', () => closed);
});
