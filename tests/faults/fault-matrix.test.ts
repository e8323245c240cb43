import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { type PeerNode, startPeerNode } from '@subcloud/testkit/peer-node';
import { startTcpProxy } from '@subcloud/testkit/tcp-proxy';
import {
  MODEL,
  type Reply,
  type TestGateway,
  answers,
  codeOf,
  event,
  poolRow,
  readReply,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';
import { FAULTS, type Seen, page } from './faults.ts';

const STREAM = { body: { model: MODEL, messages: [], stream: true } };
const WHOLE = { body: { model: MODEL, messages: [] } };

function seen(reply: Reply): Seen {
  const { status, text, broken } = reply;
  if (status !== 200) return { status, end: codeOf(reply) };
  const code = /"code":"(upstream[a-z_.]+)"/.exec(text)?.[1];
  if (broken) return { status, end: code === undefined ? 'broken' : `error event ${code}` };
  return { status, end: text.endsWith('data: [DONE]\n\n') || text.startsWith('{') ? 'whole' : 'cleanly cut' };
}

/** Nothing lost, doubled or misrouted: tries and requests at nodes agree, and all counts are back at zero. */
async function settles(
  t: TestGateway,
  nodes: readonly PeerNode[],
  outsider: PeerNode,
  requests: number,
  counted: number,
) {
  await eventually('every request is recorded', () => t.control.decisions.length === requests);
  const tries = t.control.decisions.flatMap(({ attempts }) => attempts);
  expect(tries).toHaveLength(nodes.reduce((sum, node) => sum + node.requests.length, 0));
  expect(outsider.requests).toEqual([]);
  await eventually('usage is stored', () => t.control.usage.length === counted);
  expect(new Set(t.control.usage.map(({ requestId }) => requestId)).size).toBe(counted);
  const { text } = await t.call({ method: 'GET', path: '/metrics' });
  expect(/^subcloud_active_requests (\d+)$/m.exec(text)?.[1]).toBe('0');
  expect(/^subcloud_buffered_bytes (\d+)$/m.exec(text)?.[1]).toBe('0');
}

async function network(clock?: ReturnType<typeof controllableClock>) {
  const t = await startTestGateway(clock === undefined ? {} : { clock });
  await t.publish([poolRow('other')]);
  return { t, outsider: await t.node({ pools: ['other'] }) };
}

describe.each(FAULTS)('$fault', ({ handler, stream, alone, beside, cost, counted }) => {
  const call = stream ? STREAM : WHOLE;

  test('alone in its pool: what its callers see, and what five in a row cost it', async () => {
    const { t, outsider } = await network();
    await using _ = t;
    const node = await t.node({ handler });
    for (let count = 0; count < 5; count += 1) expect(seen(await t.call(call))).toEqual(alone);
    node.handler = answers();
    expect(seen(await t.call(call))).toEqual({ status: 200, end: 'whole' });
    await settles(t, [node], outsider, 6, 5 * counted + 1);
    // An ejected node that is alone is used all the same, and said to be: too many would be out.
    const last = t.control.decisions.at(-1)?.attempts[0];
    expect(['spared', 'trial'].includes(last?.by ?? '') ? 'ejected' : 'nothing').toBe(cost);
    // With the request itself, whose stream may not have closed when it is recorded.
    expect(last?.considered[0]?.inFlight).toBeLessThanOrEqual(1);
  });

  test('beside a node that is well', async () => {
    const { t, outsider } = await network();
    await using _ = t;
    const bad = await t.node({ handler });
    // The only one there is asked first; then its neighbour may be.
    const well = await t.node({});
    let met = 0;
    let requests = 0;
    while (met === 0) {
      const before = bad.requests.length;
      const shown = seen(await t.call(call));
      requests += 1;
      met = bad.requests.length - before;
      expect(shown).toEqual(met === 0 ? { status: 200, end: 'whole' } : beside);
    }
    const usage = beside.status === 200 ? requests : requests - 1;
    await settles(t, [bad, well], outsider, requests, usage);
  });
});

describe('what is no single answer', () => {
  const word = event({ choices: [{ index: 0, delta: { content: 'one' } }] });
  const begins: NonNullable<Parameters<TestGateway['node']>[0]['handler']> = (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
    stream.write(word);
  };

  test('silence for ten minutes, its link alive: 504, and a failure of its engine', async () => {
    using clock = controllableClock();
    const { t } = await network(clock);
    await using _ = t;
    const node = await t.node({ handler: () => {} });
    const reply = t.call(STREAM);
    await eventually('it is under way', () => node.requests.length === 1);
    for (let heard = 0; heard < 62; heard += 1) {
      clock.advance(10_000);
      node.say({ type: 'heartbeat', inFlight: 1 });
      await new Promise<void>((resolve, reject) =>
        node.session.ping((error) => (error === null ? resolve() : reject(error))),
      );
    }
    expect(seen(await reply)).toEqual({ status: 504, end: 'upstream.timeout' });
  });

  test('silence in the middle of an answer: the error event after the time that the pool says, and a failure of its engine', async () => {
    using clock = controllableClock();
    const { t, outsider } = await network(clock);
    await using _ = t;
    await t.publish([poolRow('global', { routing: { stallTimeoutMs: 6_000 } })]);
    const node = await t.node({ handler: begins });
    for (let count = 0; count < 5; count += 1) {
      const answer = await t.open(STREAM).answer;
      await once(answer, 'readable');
      const reply = readReply(answer);
      clock.advance(6_500);
      node.say({ type: 'heartbeat', inFlight: 1 });
      expect(seen(await reply)).toEqual({ status: 200, end: 'error event upstream.timeout' });
    }
    node.handler = answers();
    expect(seen(await t.call(STREAM))).toEqual({ status: 200, end: 'whole' });
    await settles(t, [node], outsider, 6, 6);
    expect(t.control.usage.map(({ status }) => status)).toEqual([504, 504, 504, 504, 504, 200]);
    expect(['spared', 'trial']).toContain(t.control.decisions.at(-1)?.attempts[0]?.by);
  });

  test('a caller that reads nothing: its connection ends, the node is told to stop, and is none the worse', async () => {
    using clock = controllableClock();
    const { t, outsider } = await network(clock);
    await using _ = t;
    const piece = event({ choices: [{ index: 0, delta: { content: 'x'.repeat(60_000) } }] });
    let stopped = 0;
    let written = 0;
    let seenWritten = -1;
    const standsStill = (): boolean => written === seenWritten || ((seenWritten = written), false);
    const node = await t.node({
      handler(stream) {
        stream.on('close', () => (stopped += 1));
        stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
        const push = (): void => {
          written += 1;
          if (!stream.destroyed) stream.write(piece, push);
        };
        push();
      },
    });
    for (let count = 1; count <= 5; count += 1) {
      const answer = await t.open(STREAM).answer;
      answer.on('error', () => {});
      await eventually('all that there is between is full', standsStill);
      // By steps that no link dies of.
      for (let ahead = 0; ahead < 26 && stopped < count; ahead += 1) {
        clock.advance(10_000);
        node.say({ type: 'heartbeat', inFlight: 1 });
        await new Promise<void>((resolve, reject) =>
          node.session.ping((error) => (error === null ? resolve() : reject(error))),
        );
      }
      await eventually('the node is told', () => stopped === count);
      answer.destroy();
    }
    node.handler = answers();
    expect(seen(await t.call(STREAM))).toEqual({ status: 200, end: 'whole' });
    await settles(t, [node], outsider, 6, 6);
    expect(t.control.usage.map(({ status }) => status)).toEqual([499, 499, 499, 499, 499, 200]);
    expect(['spared', 'trial']).not.toContain(t.control.decisions.at(-1)?.attempts[0]?.by);
  });

  test('a link that is cut in the middle and closed by nobody: the error event once three heartbeats are missed', async () => {
    using clock = controllableClock();
    const { t, outsider } = await network(clock);
    await using _ = t;
    await using proxy = await startTcpProxy({ to: { host: '127.0.0.1', port: t.gateway.port } });
    const { id, key } = await t.node({ links: false });
    const node = await startPeerNode({ url: `http://127.0.0.1:${proxy.port}`, id, key, handler: begins });
    expect(await node.linked).toBe('welcome');
    const answer = await t.open(STREAM).answer;
    const reply = readReply(answer);
    await eventually('it is under way', () => node.requests.length === 1);
    proxy.freeze(true);
    clock.advance(20_000);
    expect(seen(await reply)).toEqual({ status: 200, end: 'error event upstream.interrupted' });
    await settles(t, [node], outsider, 1, 1);
    expect(codeOf(await t.call(STREAM))).toBe('routing.no_eligible_node');
    proxy.freeze(false);
    node.close();
  });

  test('the node is killed in the middle: the error event, and it is out at once', async () => {
    const { t, outsider } = await network();
    await using _ = t;
    const node = await t.node({ handler: begins });
    const reply = readReply(await t.open(STREAM).answer);
    await eventually('it is under way', () => node.requests.length === 1);
    node.close();
    expect(seen(await reply)).toEqual({ status: 200, end: 'error event upstream.interrupted' });
    await settles(t, [node], outsider, 1, 1);
    expect(codeOf(await t.call(STREAM))).toBe('routing.no_eligible_node');
  });

  test('the gateway is stopped in the middle: the answer comes to its end', async () => {
    const { t } = await network();
    await using _ = t;
    let finish = (): void => {};
    const node = await t.node({
      handler(stream, headers, body) {
        begins(stream, headers, body);
        finish = () => void stream.end('data: [DONE]\n\n');
      },
    });
    const reply = readReply(await t.open(STREAM).answer);
    await eventually('it is under way', () => node.requests.length === 1);
    const stopped = t.gateway.stop();
    finish();
    expect(seen(await reply)).toEqual({ status: 200, end: 'whole' });
    await stopped;
    expect(t.control.usage).toHaveLength(1);
    expect(node.requests).toHaveLength(1);
  });
});

test('the page says what the tests hold', () => {
  const path = fileURLToPath(new URL('../../docs/fault-matrix.md', import.meta.url));
  if (process.env['FAULTS_PAGE'] === 'write') writeFileSync(path, page());
  expect(readFileSync(path, 'utf8')).toBe(page());
});
