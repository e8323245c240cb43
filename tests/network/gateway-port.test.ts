/** What control's port for gateways owes to strangers, and to gateways that claim to be others. */
import { connect as connectPlain } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CONTROL_ALPN, CONTROL_PATHS } from '@subcloud/contract/control-channel';
import { gatewayCertificate, signedDocument } from '@subcloud/contract/documents';
import { TABLE_FORMAT } from '@subcloud/contract/table';
import { WATCH_PATHS, WATCH_VERSION } from '@subcloud/contract/watch';
import { type SigningKey, generateSigningKey, signDocument } from '@subcloud/kit/signing';
import { ask } from './gateway-port.ts';
import { type ScaledOut, startScaledOut } from './scaled-out.ts';

let network: ScaledOut;
/** An enrolled gateway, played by the test. */
const key = generateSigningKey();
const id = 'gw_enrolled';
const port = (): number => network.control().gatewaysPort ?? 0;
const watchPath = (gateway: string): string =>
  `${WATCH_PATHS.watch}?gateway=${gateway}&boot=b1&version=${WATCH_VERSION}&table=${TABLE_FORMAT}`;
const secretOf = (token: string): string => token.slice(0, token.indexOf('.'));
const enrol = (as: SigningKey, token: string, gateway: string) =>
  ask(port(), { key: as, alpn: CONTROL_ALPN.identity }, { path: CONTROL_PATHS.enrol, body: { token, gateway } });
beforeAll(async () => {
  network = await startScaledOut();
  const { status, body } = await enrol(key, secretOf(await network.token()), id);
  if (status !== 201) throw new Error(body);
}, 60_000);
afterAll(() => network[Symbol.asyncDispose]());

describe('strangers', () => {
  test('whoever speaks no TLS, or no protocol of ours, is cut without a word of ours', async () => {
    const plain = await new Promise<string>((resolve) => {
      let heard = '';
      const socket = connectPlain(port(), '127.0.0.1', () =>
        socket.write(`GET ${CONTROL_PATHS.identity} HTTP/1.1\r\nhost: x\r\n\r\n`),
      );
      socket.on('data', (part: Buffer) => (heard += part.toString('latin1')));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(heard));
    });
    expect(plain).not.toContain('HTTP');
    for (const alpn of ['http/1.1', 'h2', 'subcloud-watch/0'])
      await expect(ask(port(), { key, alpn }, { method: 'GET', path: watchPath(id) })).rejects.toThrow();
  });

  test.each([
    ['shows no certificate', {}],
    ['shows a key of another kind', { p256: true }],
    ['shows a key that nobody enrolled', { key: generateSigningKey() }],
  ] as const)('who %s learns nothing but that it is refused', async (_what, as) => {
    const everything = [
      { method: 'GET', path: watchPath(id) },
      ...Object.values(WATCH_PATHS)
        .filter((path) => path !== WATCH_PATHS.watch)
        .map((path) => ({ path, body: bodyFor(path) })),
    ];
    for (const call of everything) {
      const answer = await ask(port(), as, call);
      expect(`${call.path} ${answer.status} ${answer.body}`).toContain('policy.gateway_refused');
    }
    const api = await ask(port(), { ...as, alpn: CONTROL_ALPN.api }, { method: 'GET', path: '/api/v1/network' });
    expect(api.status).toBe(403);
  });

  test('nothing of one protocol is reached by another', async () => {
    for (const alpn of [CONTROL_ALPN.identity, CONTROL_ALPN.api])
      expect((await ask(port(), { key, alpn }, { method: 'GET', path: watchPath(id) })).status).toBe(404);
    const api = await ask(port(), { key }, { method: 'GET', path: '/api/v1/network' });
    expect(api.status).toBe(404);
    expect(
      (await ask(port(), { key, alpn: CONTROL_ALPN.api }, { method: 'GET', path: '/api/v1/network' })).status,
    ).toBe(200);
  });
});

function bodyFor(path: string): object {
  switch (path) {
    case WATCH_PATHS.acknowledge:
      return { gateway: id, boot: 'b', tableVersion: 0 };
    case WATCH_PATHS.certificate:
      return { gateway: id, publicKey: key.publicKey, tlsKeySha256: null, url: 'https://gateway.example:7700' };
    case WATCH_PATHS.reports:
      return { gateway: id, boot: 'b', links: [], events: [] };
    case WATCH_PATHS.usage:
      return { gateway: id, records: [usage] };
    case WATCH_PATHS.dayUsage:
      return { gateway: id, day: 0 };
    case WATCH_PATHS.receipts:
      return { gateway: id, batches: [batch] };
    default:
      return { gateway: id, records: [decision] };
  }
}
const batch = {
  node: 'nod_1',
  pool: 'global',
  publicKey: key.publicKey,
  endorsement: 'none',
  document: signDocument(key, 'declaration', {} as never),
  leaves: ['{}'],
};
const usage = {
  sequence: 1,
  requestId: 'req_1',
  atMs: 1,
  principal: 'user:admin',
  credential: 'key_1',
  pool: 'global',
  model: 'm',
  node: 'nod_1',
  promptTokens: 1,
  completionTokens: 1,
  estimated: false,
  status: 200,
  durationMs: 1,
};
const decision = {
  requestId: 'req_1',
  clientRequestId: null,
  atMs: 1,
  principal: null,
  pool: null,
  poolBy: null,
  revision: null,
  effectiveHash: null,
  tableVersion: 0,
  model: null,
  candidates: 0,
  notTaken: {},
  attempts: [],
  outcome: 'x',
  status: 200,
  firstByteMs: null,
  durationMs: 1,
};

describe('an enrolled gateway', () => {
  test('speaks as nobody but itself: the id of another, with its own key, is refused for every message', async () => {
    const thief = generateSigningKey();
    expect((await enrol(thief, secretOf(await network.token()), 'gw_thief')).status).toBe(201);
    expect((await ask(port(), { key: thief }, { method: 'GET', path: watchPath(id) })).status).toBe(403);
    for (const path of Object.values(WATCH_PATHS).filter((each) => each !== WATCH_PATHS.watch)) {
      expect((await ask(port(), { key: thief }, { path, body: bodyFor(path) })).status).toBe(403);
      expect((await ask(port(), { key }, { path, body: bodyFor(path) })).status).toBe(200);
    }
    // Nor can an id be taken over by enrolling it with another key.
    const answer = await enrol(generateSigningKey(), secretOf(await network.token()), id);
    expect(answer).toMatchObject({ status: 409, body: expect.stringContaining('another key') as string });
  });

  test('gets a certificate for the key that its connection proved and for no other', async () => {
    const other = { ...bodyFor(WATCH_PATHS.certificate), publicKey: generateSigningKey().publicKey };
    expect((await ask(port(), { key }, { path: WATCH_PATHS.certificate, body: other })).status).toBe(403);
    const answer = await ask(
      port(),
      { key },
      { path: WATCH_PATHS.certificate, body: bodyFor(WATCH_PATHS.certificate) },
    );
    const { certificate } = JSON.parse(answer.body) as { certificate: unknown };
    const { publicKey } = gatewayCertificate.parse(JSON.parse(signedDocument.parse(certificate).body));
    expect(publicKey).toBe(key.publicKey);
  });

  test('counts with each of its processes, since one on another machine may still serve', async () => {
    const acknowledge = (boot: string, tableVersion: number) =>
      ask(port(), { key }, { path: WATCH_PATHS.acknowledge, body: { gateway: id, boot, tableVersion } });
    const { id: made } = await network.admin.call('createKey', { body: { principal: 'user:admin' } });
    const { tableVersion: older } = await network.admin.call('revokeKey', { params: { id: made } });
    await acknowledge('one', older);
    await network.admin.call('createKey', { body: { principal: 'user:admin' } });
    expect(JSON.parse((await acknowledge('two', older + 1)).body)).toMatchObject({ lease: true });
    const { items } = await network.admin.call('listGateways', { query: {} });
    expect(items.find((item) => item.id === id)?.tableVersion).toBe(older);
  });
});
