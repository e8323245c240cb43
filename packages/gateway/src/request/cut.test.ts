/** Rows that cut: a node that may see nothing of a pool any more answers nobody there, not even who is waiting already. */
import type { ServerHttp2Stream } from 'node:http2';
import { rowKey } from '@subcloud/contract/table';
import { EMPTY_TABLE, TableBuilder } from '../table/routing-table.ts';
import { eventually } from '@subcloud/testkit/eventually';
import { type NodeSetup, event, memberRow, poolRow, readReply, startTestGateway } from '@subcloud/testkit/test-gateway';
import { expect, test } from 'vitest';

const cutRow = (pool: string, node: string): [string, object] => [
  rowKey.member(pool, node),
  { pool, node, models: [], validUntil: null, cut: true },
];
const STREAM = { body: { model: 'test-model', stream: true } };
const word = (content: string): string => event({ choices: [{ delta: { content } }] });

/** A node whose answers begin, and end when the test says so. */
function waiting(): { readonly setup: NodeSetup; readonly streams: ServerHttp2Stream[] } {
  const streams: ServerHttp2Stream[] = [];
  const setup: NodeSetup = {
    pools: ['global', 'lab'],
    handler: (stream) => {
      streams.push(stream);
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      stream.write(word('begun'));
    },
  };
  return { setup, streams };
}

test('an answer that has begun ends with an error event; a row that is just gone lets it finish', async () => {
  await using t = await startTestGateway();
  await t.publish([poolRow('lab')]);
  const { setup, streams } = waiting();
  const node = await t.node(setup);
  const here = await t.open({ ...STREAM, path: '/s/lab/v1/chat/completions' }).answer;
  const elsewhere = await t.open(STREAM).answer;
  await eventually('both are under way', () => streams.length === 2);
  const [first, second] = [readReply(here), readReply(elsewhere)];
  await t.publish([cutRow('lab', node.id), [rowKey.member('global', node.id), null]]);
  const cut = await first;
  expect([cut.broken, cut.text]).toEqual([true, expect.stringContaining('upstream.withdrawn')]);
  for (const stream of streams) if (!stream.destroyed) stream.end('data: [DONE]\n\n');
  const finished = await second;
  expect([finished.broken, finished.text]).toEqual([false, expect.stringContaining('[DONE]')]);
});

test('a request that has no answer yet goes to another member, and a cut node is no candidate', async () => {
  await using t = await startTestGateway();
  let asked = 0;
  const silent = await t.node({ handler: () => void (asked += 1) });
  const reply = t.call({ body: { model: 'test-model' } });
  await eventually('the silent node is asked', () => asked === 1);
  const other = await t.node({});
  await t.publish([cutRow('global', silent.id)]);
  expect((await reply).status).toBe(200);
  for (let turn = 0; turn < 10; turn += 1) expect((await t.call({ body: { model: 'test-model' } })).status).toBe(200);
  expect([asked, other.requests.length]).toEqual([1, 11]);
  await t.publish([memberRow('global', silent.id)]);
  expect(silent.requests.length).toBe(1);
});

test('a row that cuts counts as no member: control has counted its node already', () => {
  const builder = new TableBuilder(EMPTY_TABLE, 'snapshot');
  builder.set(...cutRow('lab', 'nod_1'));
  const { table, cuts } = builder.commit(1, 1);
  expect([table.poolIndexes.size, [...cuts]]).toEqual([0, ['lab/nod_1']]);
});
