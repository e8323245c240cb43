/** A caller that a pool bans is served nothing more there, and what it is being sent ends; narrower access lets it finish. */
import type { ServerHttp2Stream } from 'node:http2';
import { type PoolRow, rowKey } from '@subcloud/contract/table';
import { eventually } from '@subcloud/testkit/eventually';
import { event, poolRow, readReply, startTestGateway } from '@subcloud/testkit/test-gateway';
import { expect, test } from 'vitest';

const GROUP = 'org:acme' as const;
const alice = (groups: readonly string[]): [string, object] => [
  rowKey.principal('user:alice'),
  { id: 'user:alice', groups },
];

/** What changes, and whether the caller's answers in `lab` are cut. Everybody may call `lab` before. */
const CHANGES: readonly (readonly [what: string, rows: [string, PoolRow | object][], cut: boolean])[] = [
  ['a ban of the account', [poolRow('lab', { banned: ['user:alice'] })], true],
  ['a ban of its organisation', [alice([GROUP]), poolRow('lab', { banned: [GROUP] })], true],
  ['a ban of others', [poolRow('lab', { banned: ['user:bob', 'org:umbrella'] })], false],
  ['a ban elsewhere', [poolRow('other', { banned: ['user:alice'] })], false],
  [
    'a whitelist without it',
    [poolRow('lab', { access: { tokens: false, whitelist: { principals: [], cidrs: [] } } })],
    false,
  ],
];

for (const [what, rows, cut] of CHANGES)
  test(`${what}: what is under way ${cut ? 'ends with an error event' : 'finishes'}`, async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('lab')]);
    const streams: ServerHttp2Stream[] = [];
    await t.node({
      pools: ['global', 'lab'],
      handler: (stream) => {
        streams.push(stream);
        stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
        stream.write(event({ choices: [{ delta: { content: 'begun' } }] }));
      },
    });
    const body = { model: 'test-model', stream: true };
    const here = readReply(await t.open({ body, path: '/s/lab/v1/chat/completions' }).answer);
    const elsewhere = readReply(await t.open({ body }).answer);
    await eventually('both are under way', () => streams.length === 2);
    await t.publish(rows);
    if (cut) expect((await here).text).toContain('policy.access_denied');
    for (const stream of streams) if (!stream.destroyed) stream.end('data: [DONE]\n\n');
    expect((await here).broken).toBe(cut);
    expect((await elsewhere).broken).toBe(false);
  });

test('whoever joins a banned organisation while it is answered is cut, and refused from then on', async () => {
  await using t = await startTestGateway();
  await t.publish([poolRow('lab', { banned: [GROUP] })]);
  const path = '/s/lab/v1/chat/completions';
  let asked = 0;
  const node = await t.node({
    pools: ['lab'],
    handler: (stream) => {
      asked += 1;
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      stream.write(event({ choices: [{ delta: { content: 'begun' } }] }));
    },
  });
  const here = readReply(await t.open({ body: { model: 'test-model', stream: true }, path }).answer);
  await eventually('it is under way', () => asked === 1);
  await t.publish([alice([GROUP])]);
  expect((await here).broken).toBe(true);
  expect((await t.call({ path })).status).toBe(404);
  expect(node.requests.length).toBe(1);
});
