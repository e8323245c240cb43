import { MODEL, codeOf, poolRow, startTestGateway } from '@subcloud/testkit/test-gateway';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scanBody } from './scan-body.ts';

const messages = [{ role: 'user', content: 'x'.repeat(200) }];

describe('the body field `subcloud`', () => {
  test('is taken out wherever it stands, and the rest arrives as it was', () => {
    const member = fc.constantFrom('"messages":[]', '"stream":true', '"n": 1', '"user":"a,b"', '"x":{"subcloud":1}');
    const space = fc.constantFrom('', ' ', '\n\t');
    fc.assert(
      fc.property(fc.uniqueArray(member), fc.nat(5), space, (members, at, gap) => {
        const all = [...members, `"model":"${MODEL}"`];
        const text = all.toSpliced(at % (all.length + 1), 0, '"subcloud":{"ignore":["n"]}').join(`${gap},${gap}`);
        const scanned = scanBody(Buffer.from(`{${gap}${text}${gap}}`));
        const sent = JSON.parse(Buffer.concat(scanned.pieces).toString()) as Record<string, unknown>;
        const { stream_options: _asked, ...rest } = sent;
        expect(rest).toEqual(JSON.parse(`{${all.join(',')}}`));
        expect(scanned.preferences).toEqual({ ignore: ['n'] });
        expect(scanned.byteLength).toBe(Buffer.concat(scanned.pieces).byteLength);
      }),
    );
  });

  test('keeps nodes out by the names that callers know', async () => {
    await using t = await startTestGateway();
    const nodes = [await t.node({}), await t.node({}), await t.node({})];
    const first = String((await t.call()).headers['x-subcloud-node']);
    const call = (subcloud: object) => t.call({ body: { model: MODEL, messages, subcloud } });
    for (let round = 0; round < 8; round += 1) {
      expect((await call({ only: [first] })).headers['x-subcloud-node']).toBe(first);
      expect((await call({ ignore: [first] })).headers['x-subcloud-node']).not.toBe(first);
      expect((await call({ sort: 'latency', maxTtftMs: 60_000 })).status).toBe(200);
    }
    for (const { requests } of nodes)
      for (const { body } of requests) expect(body.toString()).not.toContain('subcloud');
    const nobody = await call({ only: ['nobody'] });
    expect([nobody.status, codeOf(nobody)]).toEqual([503, 'routing.no_eligible_node']);
    expect(nobody.text).toContain('3 preferences');
  });

  test.each([
    [{ only: [] }, 'subcloud.only'],
    [{ location: { in: ['Germany'] } }, 'subcloud.location.in'],
    [{ location: {} }, 'subcloud.location'],
    [{ location: { in: ['DE'], source: 'declared' } }, 'subcloud.location'],
    [{ maxTtftMs: -1 }, 'subcloud.maxTtftMs'],
    ['latency', 'subcloud'],
    [null, 'subcloud'],
  ])('%j is refused by name, and no node hears of it', async (subcloud, param) => {
    await using t = await startTestGateway();
    const node = await t.node({});
    const reply = await t.call({ body: { model: MODEL, messages, subcloud } });
    expect([reply.status, codeOf(reply)]).toEqual([400, 'client.invalid_request']);
    expect(JSON.parse(reply.text)).toMatchObject({ error: { param } });
    expect(node.requests).toEqual([]);
  });
});

describe('routing of the pool', () => {
  test('affinity: conversations that begin alike stay on one node, others spread', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('global', { routing: { objective: 'affinity' } })]);
    for (let count = 0; count < 4; count += 1) await t.node({});
    const nodeOf = async (content: string): Promise<unknown> => {
      const body = {
        model: MODEL,
        messages: [
          { role: 'system', content },
          { role: 'user', content: `${Math.random()}` },
        ],
      };
      return (await t.call({ body })).headers['x-subcloud-node'];
    };
    const seen = new Set<unknown>();
    for (let group = 0; group < 12; group += 1) {
      const content = `${group} `.repeat(600);
      const first = await nodeOf(content);
      seen.add(first);
      for (let turn = 0; turn < 3; turn += 1) expect(await nodeOf(content)).toBe(first);
    }
    expect(seen.size).toBeGreaterThan(1);
  });

  test.each([0, 1])('retries: %i', async (retries) => {
    await using t = await startTestGateway();
    await t.publish([poolRow('global', { routing: { retries } })]);
    const nodes = [];
    for (let count = 0; count < 4; count += 1) {
      nodes.push(await t.node({ handler: (stream) => stream.respond({ ':status': 401 }, { endStream: true }) }));
    }
    expect(codeOf(await t.call())).toBe('upstream.failed');
    expect(nodes.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(retries + 1);
  });
});
