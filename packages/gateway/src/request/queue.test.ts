import type { ServerHttp2Stream } from 'node:http2';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import { rowKey } from '@subcloud/contract/table';
import { eventually } from '@subcloud/testkit/eventually';
import type { NodeHandler } from '@subcloud/testkit/peer-node';
import {
  COMPLETION,
  type TestGateway,
  codeOf,
  credentialRow,
  memberRow,
  poolRow,
  readReply,
  sendJson,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';

const QUEUE = { max: 4, timeoutMs: 60_000 };
const queued = (name: string, queue = QUEUE) => poolRow(name, { routing: { queue } });

/** Answers when it is told to, in the order in which they came. */
function held(): { readonly handler: NodeHandler; readonly streams: ServerHttp2Stream[]; answer(): void } {
  const streams: ServerHttp2Stream[] = [];
  return {
    streams,
    handler: (stream) => void streams.push(stream),
    answer() {
      const stream = streams.shift();
      if (stream === undefined) throw new Error('nothing is under way');
      sendJson(stream, 200, COMPLETION);
    },
  };
}

async function waiting(t: TestGateway, pool: string, count: number): Promise<void> {
  await eventually(`${count} wait in ${pool}`, async () => (await inQueue(t, pool)) === count);
}
async function inQueue(t: TestGateway, pool: string): Promise<number> {
  const { text } = await t.call({ method: 'GET', path: '/metrics' });
  return Number(new RegExp(`^subcloud_queue_requests\\{subcloud_pool="${pool}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}
const asks = (t: TestGateway, key?: string, pool = 'global') =>
  t.open({ path: `/s/${pool}/v1/chat/completions`, ...(key === undefined ? {} : { key }) });

describe('a pool with a queue', () => {
  test('a request waits for a place, is answered when one comes free, and is told how long it waited', async () => {
    await using t = await startTestGateway();
    await t.publish([queued('global')]);
    const engine = held();
    await t.node({ concurrency: 1, handler: engine.handler });
    const [first, second] = [asks(t), asks(t)];
    await waiting(t, 'global', 1);
    expect(engine.streams).toHaveLength(1);
    engine.answer();
    expect((await readReply(await first.answer)).status).toBe(200);
    await eventually('the second is under way', () => engine.streams.length === 1);
    engine.answer();
    const reply = await readReply(await second.answer);
    expect(reply.status).toBe(200);
    expect(reply.headers['server-timing']).toMatch(/^gateway;dur=[\d.]+, queue;dur=[\d.]+, node;dur=[\d.]+$/);
    expect(await inQueue(t, 'global')).toBe(0);
    await eventually('both are recorded', () => t.control.decisions.length === 2);
    const waits = t.control.decisions.map(({ queuedMs }) => queuedMs ?? null);
    expect(waits.filter((ms) => ms !== null)).toHaveLength(1);
  });

  test('a caller that goes away leaves at once, and reaches no node', async () => {
    await using t = await startTestGateway();
    await t.publish([queued('global')]);
    const engine = held();
    const node = await t.node({ concurrency: 1, handler: engine.handler });
    asks(t);
    await eventually('one is under way', () => engine.streams.length === 1);
    const left = asks(t);
    await waiting(t, 'global', 1);
    left.request.destroy();
    await waiting(t, 'global', 0);
    engine.answer();
    expect((await t.call({ path: '/v1/models', method: 'GET' })).status).toBe(200);
    expect(node.requests).toHaveLength(1);
  });

  test('its turns are fair between callers, whoever came first with however many', async () => {
    await using t = await startTestGateway();
    const bob = newSecret('account');
    await t.publish([queued('global', { max: 8, timeoutMs: 60_000 }), credentialRow(bob, { principal: 'user:bob' })]);
    const engine = held();
    const node = await t.node({ concurrency: 1, handler: engine.handler });
    for (let count = 0; count < 5; count += 1) asks(t);
    await waiting(t, 'global', 4);
    const reply = asks(t, bob);
    await waiting(t, 'global', 5);
    engine.answer();
    await eventually('the next is under way', () => node.requests.length === 2);
    engine.answer();
    expect((await readReply(await reply.answer)).status).toBe(200);
  });

  test('past its timeout it is 429 with retry-after, and a full queue sheds at once', async () => {
    await using t = await startTestGateway();
    await t.publish([queued('global', { max: 1, timeoutMs: 300 })]);
    const engine = held();
    await t.node({ concurrency: 1, handler: engine.handler });
    asks(t);
    await eventually('one is under way', () => engine.streams.length === 1);
    const late = asks(t);
    await waiting(t, 'global', 1);
    const shed = await readReply(await asks(t).answer);
    expect([shed.status, codeOf(shed)]).toEqual([429, 'capacity.overloaded']);
    const reply = await readReply(await late.answer);
    expect([reply.status, codeOf(reply)]).toEqual([429, 'capacity.queue_timeout']);
    for (const { headers } of [shed, reply]) expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
  });

  test('what is withdrawn while it waits is withdrawn: credential, pool, the member that it waits for', async () => {
    await using t = await startTestGateway();
    const bob = newSecret('account');
    await t.publish([queued('global'), queued('eu'), credentialRow(bob, { principal: 'user:bob' })]);
    const engine = held();
    const node = await t.node({ concurrency: 1, pools: ['global', 'eu'], handler: engine.handler });
    asks(t);
    await eventually('one is under way', () => engine.streams.length === 1);
    const replies = [asks(t, bob), asks(t, undefined, 'eu'), asks(t)];
    await waiting(t, 'global', 2);
    await waiting(t, 'eu', 1);
    await t.publish([
      [rowKey.credential(hashSecret(bob)), null],
      [rowKey.pool('eu'), null],
      [rowKey.member('global', node.id), null],
    ]);
    const codes = await Promise.all(replies.map(async ({ answer }) => codeOf(await readReply(await answer))));
    expect(codes).toEqual(['client.unauthenticated', 'client.not_found', 'routing.no_eligible_node']);
    expect(node.requests).toHaveLength(1);
  });

  test('a node that is full of other gateways requests is asked again, and the request is not failed by it', async () => {
    await using t = await startTestGateway();
    await t.publish([queued('global')]);
    let full = true;
    const node = await t.node({
      handler: (stream) => {
        if (full) sendJson(stream, 429, { error: { code: 'capacity.overloaded' } }, { 'retry-after': '1' });
        else sendJson(stream, 200, COMPLETION);
      },
    });
    const reply = asks(t);
    await eventually('it was asked twice', () => node.requests.length >= 2);
    full = false;
    expect((await readReply(await reply.answer)).status).toBe(200);
  });

  test('a new node serves who waits', async () => {
    await using t = await startTestGateway();
    await t.publish([queued('global')]);
    const engine = held();
    await t.node({ concurrency: 1, handler: engine.handler });
    asks(t);
    await eventually('one is under way', () => engine.streams.length === 1);
    const second = asks(t);
    await waiting(t, 'global', 1);
    await t.node({});
    expect((await readReply(await second.answer)).status).toBe(200);
  });
});

describe('pools that share a node', () => {
  test('one may have no more than its share, the other has the rest', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('eu')]);
    const engine = held();
    const node = await t.node({ concurrency: 4, pools: ['global', 'eu'], handler: engine.handler });
    await t.publish([[rowKey.member('eu', node.id), { ...memberRow('eu', node.id)[1], share: 0.5 }]]);
    for (let count = 0; count < 2; count += 1) asks(t, undefined, 'eu');
    await eventually('two are under way', () => engine.streams.length === 2);
    expect(codeOf(await readReply(await asks(t, undefined, 'eu').answer))).toBe('capacity.overloaded');
    for (let count = 0; count < 2; count += 1) asks(t);
    await eventually('four are under way', () => engine.streams.length === 4);
    expect(codeOf(await readReply(await asks(t).answer))).toBe('capacity.overloaded');
  });

  test('what one reserves the other cannot take, and it can', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('eu', { reserve: 3 })]);
    const engine = held();
    await t.node({ concurrency: 4, pools: ['global', 'eu'], handler: engine.handler });
    asks(t);
    await eventually('one is under way', () => engine.streams.length === 1);
    expect(codeOf(await readReply(await asks(t).answer))).toBe('capacity.overloaded');
    for (let count = 0; count < 3; count += 1) asks(t, undefined, 'eu');
    await eventually('four are under way', () => engine.streams.length === 4);
    expect(codeOf(await readReply(await asks(t, undefined, 'eu').answer))).toBe('capacity.overloaded');
  });
});
