/**
 * Whatever happens to requests, in whatever order: a place at a node that was taken is given back, once. Random callers,
 * nodes, links and tables over real sockets; afterwards every node takes exactly as many requests as it may.
 */
import type { IncomingMessage } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { eventually } from '@subcloud/testkit/eventually';
import { type NodeHandler, type PeerNode, startPeerNode } from '@subcloud/testkit/peer-node';
import {
  MODEL,
  type TestGateway,
  answers,
  event,
  memberRow,
  nodeRow,
  poolRow,
  readReply,
  sendJson,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import { seeded } from '@subcloud/testkit/seeded';
import { expect, test } from 'vitest';

const PLACES = 2;
const CALLERS = 40;
const ROUTING = { midstream: 'continue' as const, retries: 2, queue: { max: 16, timeoutMs: 60_000 } };
const WORD = event({ id: 'x', choices: [{ index: 0, delta: { content: 'one' }, finish_reason: null }] });

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** Any of what a node can do; `open` holds what it has not ended. */
function anything(random: () => number, open: Set<ServerHttp2Stream>): NodeHandler {
  const begin = (stream: ServerHttp2Stream): void =>
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
  const acts: readonly NodeHandler[] = [
    answers(),
    answers(),
    (stream) => void open.add(stream),
    (stream) => stream.destroy(new Error('before the head')),
    (stream) => stream.close(7),
    (stream) => sendJson(stream, 429, {}, { 'retry-after': '1' }),
    (stream) => sendJson(stream, 500, {}),
    (stream) => sendJson(stream, 421, {}),
    (stream) => sendJson(stream, 400, {}),
    (stream) => {
      begin(stream);
      stream.end();
    },
    (stream) => {
      begin(stream);
      open.add(stream);
    },
    (stream) => {
      begin(stream);
      stream.write(WORD, () => setImmediate(() => stream.destroy(new Error('in the middle'))));
    },
    (stream) => {
      begin(stream);
      stream.write(WORD);
      open.add(stream);
    },
  ];
  return (stream, head, body) => acts[Math.floor(random() * acts.length)]?.(stream, head, body);
}

async function metric(t: TestGateway, name: string): Promise<number> {
  const { text } = await t.call({ method: 'GET', path: '/metrics' });
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

test.each([1, 2, 3])(
  'seed %i',
  async (seed) => {
    const random = seeded(seed);
    await using t = await startTestGateway();
    await t.publish([poolRow('global', { routing: ROUTING })]);
    const open = new Set<ServerHttp2Stream>();
    const handler = anything(random, open);
    const nodes: PeerNode[] = [];
    for (let count = 0; count < 3; count += 1) nodes.push(await t.node({ handler, concurrency: PLACES }));
    const any = (): number => Math.floor(random() * nodes.length);
    const relink = async (index: number): Promise<void> => {
      const before = nodes[index];
      if (before === undefined) return;
      before.close();
      await before.closed;
      const { id, key } = before;
      await eventually('it is linked again', async () => {
        const peer = await startPeerNode({ url: t.gateway.url, id, key, handler: before.handler });
        if ((await peer.linked) !== 'welcome') return false;
        nodes[index] = peer;
        return true;
      });
    };
    const acts: readonly (() => Promise<void> | void)[] = [
      () => relink(any()),
      // Out of the pool, which cuts what it has there, and in again.
      async () => {
        const [key, row] = memberRow('global', nodes[any()]?.id ?? '');
        await t.publish([[key, null]]);
        await turns(3);
        await t.publish([[key, row]]);
      },
      () => t.publish([poolRow('global', { routing: { ...ROUTING, retries: Math.floor(random() * 4) } })]),
      () => {
        const [stream] = open;
        if (stream === undefined) return;
        open.delete(stream);
        if (stream.destroyed) return;
        if (random() < 0.5) stream.destroy(new Error('later'));
        else if (stream.headersSent) stream.end('data: [DONE]\n\n');
        else sendJson(stream, 503, {}, { 'retry-after': '1' });
      },
    ];
    const calls: Promise<unknown>[] = [];
    for (let count = 0; count < CALLERS; count += 1) {
      const { request, answer } = t.open({ body: { model: MODEL, stream: random() < 0.8, messages: [] } });
      request.on('error', () => {});
      const leaves = random();
      calls.push(
        answer.then(
          (response: IncomingMessage) => {
            if (leaves < 0.2) response.destroy();
            else if (leaves < 0.4) response.once('data', () => response.destroy());
            return readReply(response);
          },
          () => undefined,
        ),
      );
      if (leaves > 0.8) void turns(Math.floor(random() * 12)).then(() => request.destroy());
      await turns(Math.floor(random() * 6));
      if (random() < 0.4) await acts[Math.floor(random() * acts.length)]?.();
    }
    for (const node of nodes) node.handler = answers();
    for (let more = true; more; ) {
      for (const stream of open) stream.destroy(new Error('at the end'));
      open.clear();
      more = !(await Promise.race([Promise.all(calls).then(() => true), turns(50).then(() => false)]));
    }
    await eventually('nothing is under way', async () => (await metric(t, 'subcloud_active_requests')) === 0);
    expect([await metric(t, 'subcloud_buffered_bytes'), await metric(t, 'subcloud_queue_requests')]).toEqual([0, 0]);

    for (let index = 0; index < nodes.length; index += 1) {
      // A new engine behind the node, whatever was thought of the one before.
      const held: ServerHttp2Stream[] = [];
      const node = nodes[index];
      if (node === undefined) continue;
      await t.publish([
        ...nodes
          .filter((other) => other !== node)
          .map(({ id }): [string, unknown] => [memberRow('global', id)[0], null]),
        memberRow('global', node.id),
        nodeRow(node.id, node.key.publicKey, { concurrency: PLACES }),
      ]);
      node.handler = (stream) => void held.push(stream);
      const asking = Array.from({ length: PLACES + 1 }, () => t.call());
      await eventually('it has as many as it takes', () => held.length === PLACES);
      await eventually('one waits', async () => (await metric(t, 'subcloud_queue_requests')) === 1);
      expect(held).toHaveLength(PLACES);
      node.handler = answers();
      for (const stream of held) answers()(stream, {}, Buffer.from('{}'));
      expect((await Promise.all(asking)).map(({ status }) => status)).toEqual([200, 200, 200]);
    }
  },
  60_000,
);
