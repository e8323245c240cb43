/** Aliases: a name of the caller's becomes the id before anybody acts on it. */
import { LINK_HEADERS } from '@subcloud/contract/link';
import { eventually } from '@subcloud/testkit/eventually';
import { codeOf, poolRow, startTestGateway } from '@subcloud/testkit/test-gateway';
import { expect, test } from 'vitest';

const ID = 'acme/big';

test('the node gets the id in label and body, whatever stands around it, and usage is counted by the id', async () => {
  await using t = await startTestGateway();
  await t.publish([poolRow('global', { aliases: { helper: ID, absent: 'acme/away' }, models: [ID, 'acme/away'] })]);
  const node = await t.node({ models: [ID] });
  const bodies = [
    '{"model":"helper","messages":[{"role":"user","content":"helper"}]}',
    '{"messages":[],"stream":true, "m\\u006fdel" : "\\u0068elper" ,"user":"helper"}',
    `{"model":"${ID}"}`,
  ];
  for (const body of bodies) expect((await t.call({ body })).status).toBe(200);
  expect(node.requests.map(({ headers }) => headers[LINK_HEADERS.model])).toEqual([ID, ID, ID]);
  expect(node.requests.map(({ body }) => JSON.parse(body.toString()) as object)).toEqual([
    { model: ID, messages: [{ role: 'user', content: 'helper' }] },
    { model: ID, messages: [], stream: true, user: 'helper', stream_options: { include_usage: true } },
    { model: ID },
  ]);
  await eventually('usage', () => t.control.usage.length === 3);
  expect(new Set(t.control.usage.map(({ model }) => model))).toEqual(new Set([ID]));
  await eventually('decisions', () => t.control.decisions.length === 3);
  expect(new Set(t.control.decisions.map(({ model }) => model))).toEqual(new Set([ID]));
});

test('an alias whose model is away is 503, one that is none is 404, and another pool’s is none', async () => {
  await using t = await startTestGateway();
  await t.publish([poolRow('global', { aliases: { absent: 'acme/away' }, models: [ID, 'acme/away'] })]);
  await t.publish([poolRow('lab', { aliases: { helper: ID }, models: [ID] })]);
  await t.node({ models: [ID], pools: ['global', 'lab'] });
  const status = async (model: string, pool = 'global'): Promise<string> => {
    const reply = await t.call({ path: `/s/${pool}/v1/chat/completions`, body: { model } });
    return `${reply.status} ${reply.status === 200 ? '' : codeOf(reply)}`.trim();
  };
  expect(await status('absent')).toBe('503 routing.no_eligible_node');
  expect(await status('helper')).toBe('404 routing.unknown_model');
  expect(await status('constructor')).toBe('404 routing.unknown_model');
  expect(await status('helper', 'lab')).toBe('200');
});

test('the revision in force at the pick decides what an alias means', async () => {
  await using t = await startTestGateway();
  const node = await t.node({ models: ['old', 'new'] });
  const asked = async (): Promise<unknown> => {
    await t.call({ body: { model: 'helper' } });
    return (JSON.parse(node.requests.at(-1)?.body.toString() ?? '{}') as { model?: unknown }).model;
  };
  await t.publish([poolRow('global', { aliases: { helper: 'old' } })]);
  expect(await asked()).toBe('old');
  await t.publish([poolRow('global', { aliases: { helper: 'new' } })]);
  expect(await asked()).toBe('new');
});

test('/v1/models lists ids that are served, and aliases of those', async () => {
  await using t = await startTestGateway();
  await t.publish([poolRow('global', { aliases: { helper: ID, absent: 'acme/away' } })]);
  await t.node({ models: [ID] });
  const reply = await t.call({ method: 'GET', path: '/v1/models' });
  const { data } = JSON.parse(reply.text) as { data: { id: string; object: string }[] };
  expect(data.map(({ id, object }) => [id, object])).toEqual([
    [ID, 'model'],
    ['helper', 'model'],
  ]);
});
