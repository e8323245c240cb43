import { createHash } from 'node:crypto';
import type { ServerHttp2Stream } from 'node:http2';
import { eventually } from '@subcloud/testkit/eventually';
import type { NodeHandler } from '@subcloud/testkit/peer-node';
import { COMPLETION, MODEL, answers, event, readReply, startTestGateway } from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';

const STREAM = { body: { model: MODEL, stream: true } };
const word = (content: string): string => event({ choices: [{ delta: { content } }] });
const startEvents = (stream: ServerHttp2Stream): void =>
  stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });

describe('a stream', () => {
  test('arrives whole, without the usage event that the caller did not ask for', async () => {
    await using t = await startTestGateway();
    const node = await t.node({});
    const reply = await t.call(STREAM);
    expect([reply.broken, reply.text]).toEqual([false, `${word('Hello')}${word('there.')}data: [DONE]\n\n`]);
    expect(JSON.parse(node.requests[0]?.body.toString() ?? '')).toEqual({
      model: MODEL,
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  test('has the usage event where the caller asked for it, and its other options stay', async () => {
    await using t = await startTestGateway();
    const node = await t.node({});
    const asked = await t.call({ body: { ...STREAM.body, stream_options: { include_usage: true } } });
    expect(asked.text).toContain('"usage"');
    const other = await t.call({ body: { ...STREAM.body, stream_options: { more: [1], include_usage: false } } });
    expect(other.text).not.toContain('"usage"');
    expect(JSON.parse(node.requests[1]?.body.toString() ?? '')).toMatchObject({
      stream_options: { more: [1], include_usage: true },
    });
  });

  test('each event leaves before the next one comes', async () => {
    await using t = await startTestGateway();
    let stream: ServerHttp2Stream | undefined;
    await t.node({
      handler: (opened) => {
        stream = opened;
        startEvents(opened);
        opened.write(word('0'));
      },
    });
    const answer = await t.open(STREAM).answer;
    let seen = '';
    answer.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    for (let count = 1; count < 20; count += 1) {
      await eventually(`event ${count - 1}`, () => seen.endsWith(word(String(count - 1))));
      stream?.write(word(String(count)));
    }
    stream?.end('data: [DONE]\n\n');
    await eventually('the end', () => answer.complete);
  });

  test('that breaks ends with an error event and without an end', async () => {
    await using t = await startTestGateway();
    await t.node({
      handler: (stream) => {
        startEvents(stream);
        stream.write(`${word('one')}data: {"choices":[{"del`);
        setTimeout(() => stream.destroy(new Error('broken')), 20);
      },
    });
    const reply = await t.call(STREAM);
    const [first, last, ...rest] = reply.text.split('\n\n').filter((text) => text !== '');
    expect(`${first}\n\n`).toBe(word('one'));
    expect(JSON.parse(last?.slice(6) ?? '')).toMatchObject({ error: { code: 'upstream.interrupted' } });
    expect([rest, reply.broken]).toEqual([[], true]);
    const record = await eventually('its usage', () => t.control.usage[0]);
    expect(record).toMatchObject({ estimated: true, status: 502, completionTokens: 1 });
  });

  test('that ends without its end mark is broken, too', async () => {
    await using t = await startTestGateway();
    await t.node({
      handler: (stream) => {
        startEvents(stream);
        stream.end(word('one'));
      },
    });
    const reply = await t.call(STREAM);
    expect(reply.text).toContain('upstream.interrupted');
    expect(reply.broken).toBe(true);
  });

  test('breaks visibly too when the whole link goes', async () => {
    await using t = await startTestGateway();
    const node = await t.node({
      handler: (stream) => {
        startEvents(stream);
        stream.write(word('one'));
        setTimeout(() => node.close(), 20);
      },
    });
    const reply = await t.call(STREAM);
    expect(reply.text).toContain('upstream.interrupted');
    expect(reply.broken).toBe(true);
  });
});

test('an answer that is no stream and breaks is never taken for whole', async () => {
  await using t = await startTestGateway();
  const half: NodeHandler = (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.write('{"choices":[');
    setTimeout(() => stream.destroy(new Error('broken')), 20);
  };
  await t.node({ handler: half });
  const reply = await t.call();
  expect([reply.status, reply.text, reply.broken]).toEqual([200, '{"choices":[', true]);
});

test.each([true, false])('a caller that leaves stops the engine at once, stream: %s', async (stream) => {
  await using t = await startTestGateway();
  let stoppedAt = 0;
  const node = await t.node({
    handler: (opened) => {
      opened.on('close', () => (stoppedAt = performance.now()));
      if (!stream) return;
      startEvents(opened);
      opened.write(word('one'));
    },
  });
  const { request, answer } = t.open({ body: { model: MODEL, stream } });
  if (stream) (await answer).on('error', () => {});
  await eventually('the engine works', () => node.requests.length === 1);
  const leftAt = performance.now();
  request.destroy();
  await eventually('the engine stopped', () => stoppedAt > 0);
  expect(stoppedAt - leftAt).toBeLessThan(1_000);
  if (stream) {
    const record = await eventually('what was relayed is counted', () => t.control.usage[0]);
    expect(record).toMatchObject({ status: 499, estimated: true, completionTokens: 1 });
  }
});

test('a caller that does not read stops the node, and nobody else', async () => {
  await using t = await startTestGateway();
  const total = 64 * 1_048_576;
  let written = 0;
  let blocked = false;
  const piece = Buffer.alloc(65_536, 0x61);
  await t.node({
    handler: (stream, headers, body) => {
      if (body.toString().includes('"small"')) return answers()(stream, headers, body);
      stream.respond({ ':status': 200, 'content-type': 'application/octet-stream' });
      const fill = (): void => {
        while (written < total) {
          written += piece.byteLength;
          if (stream.write(piece)) continue;
          blocked = true;
          stream.once('drain', fill);
          return;
        }
        stream.end();
      };
      fill();
    },
  });
  const answer = await t.open().answer;
  await eventually('the node is held up', () => blocked);
  let before = -1;
  await eventually('the node stands still', async () => {
    const still = before === written;
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return still;
  });
  expect(written).toBeLessThan(total / 2);
  for (let round = 0; round < 5; round += 1)
    expect((await t.call({ body: { model: MODEL, small: 1, k: 'small' } })).status).toBe(200);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of answer) {
    bytes += (chunk as Buffer).byteLength;
    hash.update(chunk as Buffer);
  }
  expect(bytes).toBe(total);
  expect(answer.complete).toBe(true);
});

describe('usage', () => {
  test.each([true, false])('is what the engine counted, once, before the end is seen; stream: %s', async (stream) => {
    await using t = await startTestGateway();
    const node = await t.node({});
    const reply = await t.call({ body: { model: MODEL, stream } });
    const record = await eventually('its record', () => t.control.usage[0]);
    expect(record).toMatchObject({
      sequence: 1,
      requestId: reply.headers['x-request-id'],
      principal: 'user:alice',
      pool: 'global',
      model: MODEL,
      node: node.id,
      promptTokens: COMPLETION.usage.prompt_tokens,
      completionTokens: COMPLETION.usage.completion_tokens,
      estimated: false,
      status: 200,
    });
  });

  test('is estimated where the engine does not count', async () => {
    await using t = await startTestGateway();
    await t.node({
      handler: (stream) => {
        startEvents(stream);
        stream.end(`${word('four and more bytes')}${word('b')}data: [DONE]\n\n`);
      },
    });
    await t.call(STREAM);
    const record = await eventually('its record', () => t.control.usage[0]);
    expect(record).toMatchObject({ estimated: true, completionTokens: 5, status: 200 });
  });

  test('waits for control and arrives once, in order, without gaps', async () => {
    await using t = await startTestGateway();
    await t.node({});
    t.control.takesUsage = false;
    await Promise.all(Array.from({ length: 20 }, () => t.call()));
    await t.restart();
    await t.node({});
    await t.call();
    t.control.takesUsage = true;
    await eventually('all are stored', () => t.control.usage.length === 21);
    expect(t.control.usage.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 21 }, (_, index) => index + 1),
    );
    expect(new Set(t.control.usage.map(({ requestId }) => requestId)).size).toBe(21);
  });
});

test('a drain lets an answer finish and takes nothing new', async () => {
  await using t = await startTestGateway();
  let finish = (): void => {};
  const node = await t.node({
    handler: (stream) => {
      startEvents(stream);
      stream.write(word('one'));
      finish = () => void stream.end('data: [DONE]\n\n');
    },
  });
  const reading = readReply(await t.open(STREAM).answer);
  await eventually('it is under way', () => node.requests.length === 1);
  const stopped = t.gateway.stop();
  await expect(t.call()).rejects.toThrow(/ECONNREFUSED|ECONNRESET|socket hang up/);
  finish();
  const reply = await reading;
  expect([reply.broken, reply.text.endsWith('data: [DONE]\n\n')]).toEqual([false, true]);
  await stopped;
  await node.closed;
});
