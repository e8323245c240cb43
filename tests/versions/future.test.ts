/**
 * Peers of a later version: who still speaks ours is taken, who does not is refused by name. And what a later version adds (a
 * field, a kind, a message), sent all the same, never breaks what is there and never opens anything: it is refused whole.
 */
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkGatewayHello } from '@subcloud/agent/link/gateway-hello';
import { documentBodies } from '@subcloud/contract/documents';
import { LINK_HEADERS, LINK_VERSIONS, agentMessage, gatewayMessage } from '@subcloud/contract/link';
import { TABLE_FORMATS } from '@subcloud/contract/table';
import { WATCH_HEADERS, WATCH_PATHS, WATCH_VERSIONS, reportsRequest } from '@subcloud/contract/watch';
import { EMPTY_TABLE, type TableChange } from '@subcloud/gateway/table/routing-table';
import { tableReader } from '@subcloud/gateway/watch/table-reader';
import { gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { generateSigningKey, openDocument, signDocument } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestGateway } from '@subcloud/testkit/test-gateway';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRecorded } from './recorded.ts';
import { bytesOf, connectionsOf, linkOf, sideOf } from './replay.ts';

const recorded = readRecorded('schema-16');
const NEXT = LINK_VERSIONS.newest + 1;

describe('an agent of a later version', () => {
  let network: TestNetwork;
  beforeAll(async () => {
    network = await startTestNetwork();
  });
  afterAll(() => network[Symbol.asyncDispose]());

  const dial = (node: string, headers: Readonly<Record<string, string>>) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const call = request(`${network.url}/link`, {
        headers: {
          connection: 'Upgrade',
          upgrade: 'subcloud-link',
          [LINK_HEADERS.node]: node,
          [LINK_HEADERS.agentNonce]: 'n'.repeat(43),
          ...headers,
        },
      });
      call.on('upgrade', (answer, socket) => {
        socket.destroy();
        resolve({
          status: 101,
          text: Buffer.from(String(answer.headers[LINK_HEADERS.gateway]), 'base64url').toString(),
        });
      });
      call.on('response', (answer) => {
        let text = '';
        answer.on('data', (bytes: Buffer) => (text += bytes.toString('utf8')));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      call.on('error', reject);
      call.end();
    });

  test('that still speaks ours is answered in ours', async () => {
    const found = await dial('nod_1', {
      [LINK_HEADERS.version]: String(NEXT),
      [LINK_HEADERS.oldest]: String(LINK_VERSIONS.newest),
    });
    expect(found.status).toBe(101);
    expect(JSON.parse(found.text)).toMatchObject({ version: LINK_VERSIONS.newest });
  });

  test('that does not is refused by name, in the answer and on the node that it names; a node that is linked is not smeared', async () => {
    const node = await network.node({ name: 'newer' });
    await network.serving('global', node);
    const versions = { [LINK_HEADERS.version]: String(NEXT + 1), [LINK_HEADERS.oldest]: String(NEXT) };
    const words = `the agent speaks link ${NEXT} to ${NEXT + 1}, this gateway ${LINK_VERSIONS.newest}: upgrade this gateway`;
    const warnings = async (): Promise<readonly string[]> =>
      (await network.admin.call('getNode', { params: { id: node.id } })).warnings;
    const found = await dial(node.id, versions);
    expect(found.status).toBe(426);
    expect(JSON.parse(found.text)).toMatchObject({
      error: {
        code: 'platform.version_unsupported',
        message: words,
        details: {
          protocol: 'link',
          peer: { oldest: NEXT, newest: NEXT + 1 },
          own: LINK_VERSIONS,
          upgrade: 'this gateway',
        },
      },
    });
    await node.stop();
    await eventually(
      'it is away',
      async () => !(await network.admin.call('getNode', { params: { id: node.id } })).online,
    );
    expect(await warnings()).toEqual([]);
    await dial(node.id, versions);
    await eventually('its operator reads it', async () =>
      (await warnings()).some((warning) => warning.includes(words)),
    );
  });

  test('too old, or without a version, it is refused by name too', async () => {
    const old = await dial('nod_1', { [LINK_HEADERS.version]: '0' });
    expect(old.status).toBe(426);
    expect(old.text).toContain(`the agent speaks link 0, this gateway ${LINK_VERSIONS.newest}: upgrade the agent`);
    expect((await dial('nod_1', {})).status).toBe(426);
  });

  test('that enrols is refused before it sends its token, or answered in ours', async () => {
    const identity = `${network.url}/link/identity?nonce=${'n'.repeat(43)}`;
    expect((await fetch(`${identity}&link=${NEXT}&oldest=${NEXT}`)).status).toBe(426);
    const both = await fetch(`${identity}&link=${NEXT}&oldest=${LINK_VERSIONS.newest}`);
    expect(await both.json()).toMatchObject({ version: LINK_VERSIONS.newest });
    expect(await (await fetch(identity)).json()).toMatchObject({ version: 1 });
  });

  test('a gateway that still speaks our watch and table gets them; one that does not is told which side to upgrade', async () => {
    const watch = (versions: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(join(network.dataDir, 'run', 'gateways.sock'));
        let text = '';
        socket.on('data', (bytes: Buffer) => {
          text += bytes.toString('latin1');
          if (/"type":"commit"|\}\}/.test(text)) socket.destroy();
        });
        socket.on('close', () => resolve(text));
        socket.write(`GET ${WATCH_PATHS.watch}?gateway=gw_later&boot=b&${versions} HTTP/1.1\r\nhost: x\r\n\r\n`);
      });
    const [version, table] = [WATCH_VERSIONS.newest, TABLE_FORMATS.newest];
    const both = await watch(`version=${version + 1}&oldestVersion=${version}&table=${table + 2}&oldestTable=${table}`);
    expect(both).toMatch(/^HTTP\/1\.1 200/);
    expect(both).toContain(`${WATCH_HEADERS.version}: ${version}\r`);
    expect(both).toContain(`${WATCH_HEADERS.table}: ${table}\r`);
    const later = await watch(`version=${version}&table=${table + 2}&oldestTable=${table + 1}`);
    expect(later).toMatch(/^HTTP\/1\.1 426/);
    expect(later).toContain(
      `the gateway speaks table ${table + 1} to ${table + 2}, this control ${table}: upgrade this control`,
    );
  });
});

test('a gateway of a later version is refused by the agent by name, whatever its hello looks like', () => {
  const expected = {
    side: 'gateway',
    nodeId: 'nod_1',
    agentNonce: 'n',
    channel: { binding: 'plain', tlsKeySha256: null },
  } as const;
  const check = (hello: unknown) => () => void checkGatewayHello(hello, { ...expected, fingerprint: 'f', nowMs: 0 });
  const words = `platform.version_unsupported: the gateway speaks link ${NEXT}, this agent ${LINK_VERSIONS.newest}: upgrade this agent`;
  expect(check({ version: NEXT, anything: { else: true } })).toThrow(words);
  expect(check({ version: 0, anything: 1 })).toThrow('upgrade the gateway');
  for (const odd of [null, 1, 'x', {}, { version: '2' }, { version: Number.NaN }])
    expect(check(odd)).toThrow('what answered is no Subcloud gateway');
});

test('a gateway does not take a table in a version that it did not ask for, and says so', async () => {
  await using peer = await startTestGateway();
  const run = join(peer.dataDir, 'later', 'run');
  mkdirSync(run, { recursive: true });
  const said: string[] = [];
  const keep = (about: unknown): void => void said.push(JSON.stringify(about));
  const log = Object.assign(Object.create(silentLog) as typeof silentLog, { warn: keep });
  const control = createServer((_request, response) => {
    response.writeHead(200, {
      [WATCH_HEADERS.version]: String(WATCH_VERSIONS.newest),
      [WATCH_HEADERS.table]: String(TABLE_FORMATS.newest + 1),
    });
    response.end(
      '{"type":"begin","mode":"snapshot","tableVersion":1,"epoch":1}\n{"type":"commit","tableVersion":1,"nowMs":1}\n',
    );
  });
  await new Promise<void>((resolve) => control.listen(join(run, 'gateways.sock'), resolve));
  const flags = { dataDir: join(peer.dataDir, 'later'), controlDir: run, port: 0 };
  const gateway = await runGateway({
    config: loadConfig(gatewayOptions, { flags }),
    clock: systemClock,
    random: systemRandom,
    log,
  });
  try {
    const words = `control speaks table ${TABLE_FORMATS.newest + 1}, this gateway ${TABLE_FORMATS.newest}: upgrade this gateway`;
    await eventually('it says why', () => said.some((text) => text.includes(words)));
    expect(gateway.tableVersion()).toBe(0);
    expect(gateway.ready()).toBe(false);
  } finally {
    await gateway.stop();
    control.closeAllConnections();
    await new Promise<void>((resolve) => control.close(() => resolve()));
  }
});

test('an agent that sends what no version of ours has loses its own link, and nobody else notices', async () => {
  await using peer = await startTestGateway();
  const stays = await peer.node({
    handler: (stream) => (stream.respond({ ':status': 200, 'content-type': 'application/json' }), stream.end('{}')),
  });
  for (const line of [
    { type: 'of-tomorrow', grants: ['global'] },
    { type: 'heartbeat', inFlight: 0, grants: true },
  ]) {
    const later = await peer.node({ pools: [] });
    later.say(line as never);
    await later.closed;
  }
  expect((await peer.call()).status).toBe(200);
  expect(stays.requests).toHaveLength(1);
});

/** Every message of the recorded network, by kind. */
const watchLines = [...connectionsOf(recorded.tape('watch')).values()].flatMap((entries) =>
  bytesOf(entries, 'server')
    .toString('utf8')
    .split(/\r?\n/)
    .filter((line) => line.startsWith('{"type":"'))
    .map((line) => JSON.parse(line) as { type: string; set?: [string, Record<string, unknown>][]; delete?: string[] }),
);
const rows = watchLines.flatMap(({ set }) => set ?? []);
const linkLines = (from: 'client' | 'server'): Record<string, unknown>[] =>
  Buffer.concat(
    sideOf(linkOf(recorded.tape('link'), recorded.meaning.nodes['berlin'] ?? ''), from)
      .frames.filter(({ stream, type }) => stream === 1 && type === 0)
      .map(({ payload }) => payload),
  )
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const agentLines = linkLines('client');
const gatewayLines = linkLines('server');

const newName = fc.string({ minLength: 1, maxLength: 12 }).map((text) => `future${text}`);
const newField = fc.tuple(newName, fc.jsonValue());
const added = <Value extends object>(value: Value, [name, extra]: readonly [string, unknown]): Value => ({
  ...value,
  [name]: extra,
});

describe('what a later version adds', () => {
  test('to the table (a field of a row or of its access, a kind, a message) refuses the whole version: the table at hand stays as it is', () => {
    expect(new Set(rows.map(([key]) => key.split('/')[0])).size).toBeGreaterThan(4);
    const snapshot = (set: unknown, message: object = {}): unknown[] => [
      { type: 'begin', mode: 'snapshot', tableVersion: 9, epoch: 1 },
      { type: 'rows', set, delete: [], ...message },
      { type: 'commit', tableVersion: 9, nowMs: 1 },
    ];
    const read = (messages: readonly unknown[]): TableChange[] => {
      const changes: TableChange[] = [];
      const reader = tableReader(EMPTY_TABLE, {
        committed: (change) => void changes.push(change),
        pinged: () => undefined,
      });
      for (const message of messages) reader(message);
      return changes;
    };
    const latest = [...new Map(rows)] as [string, Record<string, unknown>][];
    expect(read(snapshot(latest))).toHaveLength(1);
    fc.assert(
      fc.property(fc.nat(), newField, fc.constantFrom('field', 'access', 'kind', 'message'), (at, field, where) => {
        const index = at % latest.length;
        const [key, value] = latest[index] ?? ['', {}];
        const access = value['access'];
        const changed: [string, object] =
          where === 'kind'
            ? [`${field[0].replaceAll('/', '')}/${key}`, value]
            : where === 'access' && typeof access === 'object' && access !== null
              ? [key, { ...value, access: added(access, field) }]
              : [key, added(value, field)];
        const messages =
          where === 'message'
            ? snapshot(latest).toSpliced(1, 0, { type: field[0], anything: field[1] })
            : snapshot(latest.with(index, changed as never));
        expect(() => read(messages)).toThrow();
      }),
    );
  });

  test('to a message of the link, either way, or to a report, is refused whole and never throws', () => {
    expect(new Set(agentLines.map(({ type }) => type))).toContain('document-acknowledged');
    expect(new Set(gatewayLines.map(({ type }) => type))).toContain('document');
    const report = { gateway: 'gw_1', boot: 'b', events: [{ type: 'unlinked', node: 'nod_1' }] };
    for (const line of agentLines) expect(agentMessage.safeParse(line).success).toBe(true);
    for (const line of gatewayLines) expect(gatewayMessage.safeParse(line).success).toBe(true);
    expect(reportsRequest.safeParse(report).success).toBe(true);
    fc.assert(
      fc.property(fc.nat(), newField, fc.boolean(), (at, field, isKind) => {
        const later = (line: object): object => (isKind ? { ...line, type: field[0] } : added(line, field));
        expect(agentMessage.safeParse(later(agentLines[at % agentLines.length] ?? {})).success).toBe(false);
        expect(gatewayMessage.safeParse(later(gatewayLines[at % gatewayLines.length] ?? {})).success).toBe(false);
        const [event = {}] = report.events;
        expect(reportsRequest.safeParse({ ...report, events: [later(event)] }).success).toBe(false);
        if (!isKind) expect(reportsRequest.safeParse(added(report, field)).success).toBe(false);
      }),
    );
  });

  test('to a signed document makes it one that nobody opens, though its signature holds', () => {
    const key = generateSigningKey();
    const documents = gatewayLines.flatMap(({ document }) =>
      document === undefined ? [] : [document as { type: 'node'; body: string }],
    );
    expect(documents.length).toBeGreaterThan(0);
    fc.assert(
      fc.property(fc.nat(), newField, fc.boolean(), (at, field, deep) => {
        const body = JSON.parse(documents[at % documents.length]?.body ?? '{}') as { memberships: object[] };
        expect(documentBodies.node.safeParse(body).success).toBe(true);
        const [first, ...rest] = body.memberships;
        const later =
          deep && first !== undefined ? { ...body, memberships: [added(first, field), ...rest] } : added(body, field);
        expect(() => openDocument(signDocument(key, 'node', later as never), 'node', key.publicKey)).toThrow();
        expect(() =>
          openDocument(signDocument(key, 'node', { ...body, version: 2 } as never), 'node', key.publicKey),
        ).toThrow();
      }),
    );
  });
});
