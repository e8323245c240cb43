import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { codeOf, memberRow, poolRow, startTestGateway } from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';

const begin = (tableVersion: number, mode = 'delta', epoch = 1): string =>
  `${JSON.stringify({ type: 'begin', mode, tableVersion, epoch })}\n`;
const rows = (set: unknown, deleted: unknown = []): string =>
  `${JSON.stringify({ type: 'rows', set, delete: deleted })}\n`;
const commit = (tableVersion: number): string =>
  `${JSON.stringify({ type: 'commit', tableVersion, nowMs: Date.now() })}\n`;

describe('the table', () => {
  test.each([
    ['what is no JSON', 'nonsense\n'],
    ['an unknown message', '{"type":"surprise"}\n'],
    ['rows outside a version', rows([poolRow('x')])],
    ['a row of an unknown kind', begin(900) + rows([['mystery/1', {}]]) + commit(900)],
    ['a row of another shape', begin(900) + rows([['pool/x', { name: 'x' }]]) + commit(900)],
    ['a row with a field more', begin(900) + rows([['pool/x', { ...poolRow('x')[1], more: 1 }]]) + commit(900)],
    ["a row under another's key", begin(900) + rows([['pool/x', poolRow('y')[1]]]) + commit(900)],
    ['a version that does not grow', begin(1) + commit(1)],
    ['an older epoch', begin(900, 'delta', 0) + commit(900)],
    ['a commit of another version', begin(900) + commit(901)],
    ['a version inside another', begin(900) + begin(901)],
    ['rows that are no list', begin(900) + rows('all')],
  ])('%s ends the watch, nothing of it is believed, and the gateway recovers by a new one', async (_name, text) => {
    await using t = await startTestGateway();
    await t.node({});
    const { length: opened } = Array.from({ length: t.control.opened() });
    const before = t.gateway.tableVersion();
    t.control.write(text);
    await eventually('a new watch', () => t.control.opened() > opened);
    expect(t.gateway.tableVersion()).toBe(before);
    await t.publish([poolRow('later')]);
    expect((await t.call()).status).toBe(200);
    expect(codeOf(await t.call({ path: '/s/x/v1/chat/completions' }))).toBe('client.not_found');
  });

  test('a version is seen whole or not at all', async () => {
    await using t = await startTestGateway();
    const node = await t.node({});
    t.control.write(begin(900) + rows([poolRow('half')], [memberRow('global', node.id)[0]]));
    expect((await t.call()).status).toBe(200);
    t.control.write(commit(900));
    await eventually('the version', () => t.gateway.tableVersion() === 900);
    expect((await t.call()).status).toBe(503);
  });

  test('each version is acknowledged', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('x')]);
    await eventually('the acknowledgement', () =>
      t.control.acknowledged.some(({ tableVersion }) => tableVersion === t.control.version()),
    );
    expect(new Set(t.control.acknowledged.map(({ gateway }) => gateway))).toEqual(new Set([t.gateway.id]));
  });

  test('a member goes at the moment its row says, by the clock of control', async () => {
    using clock = controllableClock();
    await using t = await startTestGateway({ clock });
    await t.node({ validUntil: Date.now() + 5_000 });
    expect((await t.call()).status).toBe(200);
    clock.advance(7_000);
    expect((await t.call()).text).toContain('1 expired');
  });
});

describe('the lease', () => {
  test('a gateway without a lease serves nobody, says so, and serves again when it has one', async () => {
    using clock = controllableClock();
    await using t = await startTestGateway({ clock });
    await t.node({});
    t.control.grantsLease = false;
    // Less than three heartbeats at a time, so that the link lives on.
    for (let step = 0; step < 5; step += 1) {
      clock.advance(12_000);
      const heard = t.control.acknowledged.length;
      await eventually('the node was heard', () => t.control.acknowledged.length > heard);
    }
    expect(codeOf(await t.call())).toBe('platform.table_stale');
    expect(codeOf(await t.call({ path: '/v1/models', method: 'GET' }))).toBe('platform.table_stale');
    expect(t.gateway.ready()).toBe(false);
    expect((await t.call({ path: '/readyz', method: 'GET' })).status).toBe(503);
    expect((await t.call({ path: '/healthz', method: 'GET' })).status).toBe(200);
    t.control.grantsLease = true;
    clock.advance(2_000);
    await eventually('it is ready', () => t.gateway.ready());
  });

  test('control may be away for less than the lease and no caller notices', async () => {
    await using t = await startTestGateway();
    await t.node({});
    t.control.cut();
    for (let round = 0; round < 10; round += 1) expect((await t.call()).status).toBe(200);
    await eventually('the watch is back', () => t.control.opened() >= 2);
  });
});

describe('reports', () => {
  test('control hears of a link, what it declares and its end; after a new watch, of all links again', async () => {
    await using t = await startTestGateway();
    const node = await t.node({ localAddress: '127.0.0.2' });
    const events = () => t.control.reports.flatMap((report) => report.events);
    await eventually('linked', () => events().some(({ type }) => type === 'linked'));
    expect(events().find(({ type }) => type === 'linked')).toEqual({
      type: 'linked',
      node: node.id,
      address: '127.0.0.2',
      epoch: 0,
      serial: 0,
    });
    const document = { type: 'declaration' as const, body: '{}', signer: 'a'.repeat(64), signature: 's' };
    node.say({ type: 'declaration', document });
    node.say({ type: 'document-acknowledged', epoch: 1, serial: 4 });
    await eventually('acknowledged', () => events().some(({ type }) => type === 'document-acknowledged'));
    const { length } = t.control.reports;
    t.control.cut();
    const fresh = await eventually('all links', () =>
      t.control.reports.slice(length).find(({ links }) => links !== undefined),
    );
    expect(fresh.links).toEqual([{ node: node.id, address: '127.0.0.2', epoch: 1, serial: 4 }]);
    await eventually('its declaration again', () =>
      t.control.reports.slice(length).some((report) => report.events.some(({ type }) => type === 'declaration')),
    );
    node.close();
    await eventually('unlinked', () => events().some(({ type }) => type === 'unlinked'));
  });
});
