import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@subcloud/kit/clock';
import { generateSigningKey } from '@subcloud/kit/signing';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { type DocumentWish, type PeerGateway, type PeerLink, startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { expect, onTestFinished, test } from 'vitest';

const SERVES = { memberships: [{ pool: 'global', models: ['m'] }] };
const SERVES_NOT = { memberships: [] };

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'agent-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function sendDocument(gateway: PeerGateway, link: PeerLink, wish: DocumentWish): void {
  link.send({ type: 'document', document: gateway.network.nodeDocument(link.nodeId, link.publicKey, wish) });
}

const acknowledged = (link: PeerLink, serial: number) =>
  link.message((message) => message.type === 'document-acknowledged' && message.serial === serial);

test('a document that is newer replaces the whole of the one before, and is acknowledged with its position', async () => {
  await using engine = await startScriptedEngine({ models: ['m'] });
  await using gateway = await startPeerGateway({ wish: SERVES });
  const config = { engines: [{ url: engine.url }] };
  await using _agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, config });
  const link = await gateway.link();
  expect((await link.ask({})).status).toBe(200);
  sendDocument(gateway, link, { ...SERVES_NOT, serial: 100 });
  await acknowledged(link, 100);
  expect((await link.ask({})).status).toBe(421);
  sendDocument(gateway, link, { ...SERVES, serial: 101 });
  await acknowledged(link, 101);
  expect((await link.ask({})).status).toBe(200);
});

test.for([
  ['a lower serial', { serial: 99 }],
  ['a lower epoch', { epoch: 1, serial: 500 }],
  ['the position of the one in force and another content', { serial: 100 }],
  ['another node', { nodeId: 'nod_another', serial: 200 }],
  ['another key', { nodeKey: generateSigningKey().publicKey, serial: 200 }],
  ['a signature of somebody else', { signer: generateSigningKey(), serial: 200 }],
  ['an expiry that has passed', { notAfter: Date.now() - 1_000, serial: 200 }],
  ['another network', { networkId: 'net_other', serial: 200 }],
  ['an issue time far ahead', { issuedAt: Date.now() + 3_600_000, serial: 200 }],
] as const)('a document with %s changes nothing and is not acknowledged, also after a restart', async ([, wish]) => {
  const dataDir = folder();
  await using engine = await startScriptedEngine({ models: ['m'] });
  await using gateway = await startPeerGateway({ wish: { ...SERVES_NOT, epoch: 2, serial: 100 } });
  const config = { engines: [{ url: engine.url }] };
  const before = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, config, dataDir });
  const tryOn = async (): Promise<void> => {
    const link = await gateway.link();
    expect(link.messages[0]).toMatchObject({ type: 'hello', epoch: 2, serial: 100 });
    sendDocument(gateway, link, { ...SERVES, epoch: 2, ...wish });
    // The next one holds again: when it is acknowledged, the bad one has been judged.
    sendDocument(gateway, link, { ...SERVES_NOT, epoch: 2, serial: 100 });
    expect((await link.ask({})).status).toBe(421);
    expect(link.messages.filter(({ type }) => type === 'document-acknowledged')).toEqual([]);
  };
  await tryOn();
  await before.stop();
  await using _after = await startTestAgent({ url: gateway.url, config, dataDir });
  await eventually('the new link is there', () => gateway.links.filter(({ open }) => open).length === 1);
  await tryOn();
});

test('an acknowledged document is on disk: a restart serves by it without any gateway having to repeat it', async () => {
  const dataDir = folder();
  await using engine = await startScriptedEngine({ models: ['m'] });
  await using gateway = await startPeerGateway({ wish: SERVES_NOT });
  const config = { engines: [{ url: engine.url }] };
  const before = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, config, dataDir });
  sendDocument(gateway, await gateway.link(), { ...SERVES, epoch: 1, serial: 50 });
  await acknowledged(await gateway.link(), 50);
  await before.stop();
  await using _after = await startTestAgent({ url: gateway.url, config, dataDir });
  await eventually('the new link is there', () => gateway.links.filter(({ open }) => open).length === 1);
  const link = await gateway.link();
  expect(link.messages[0]).toMatchObject({ type: 'hello', epoch: 1, serial: 50 });
  expect((await link.ask({})).status).toBe(200);
});

test('a document past its expiry permits nothing, and setting the wall clock back does not revive it', async () => {
  using clock = controllableClock();
  await using engine = await startScriptedEngine({ models: ['m'], clock });
  await using gateway = await startPeerGateway({ clock, wish: { ...SERVES, notAfter: clock.nowMs() + 12_000 } });
  const config = { engines: [{ url: engine.url }] };
  await using _agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, config, clock });
  const link = await gateway.link();
  expect((await link.ask({})).status).toBe(200);
  clock.advance(13_000);
  expect((await link.ask({})).status).toBe(421);
  clock.jumpWallClock(-3_600_000);
  expect((await link.ask({})).status).toBe(421);
});

test('a gateway that says an old time does not keep an expired document alive', async () => {
  using clock = controllableClock();
  await using engine = await startScriptedEngine({ models: ['m'], clock });
  await using gateway = await startPeerGateway({ clock, wish: { ...SERVES, notAfter: clock.nowMs() + 12_000 } });
  const config = { engines: [{ url: engine.url }] };
  await using _agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, config, clock });
  const link = await gateway.link();
  clock.advance(13_000);
  link.send({ type: 'time', nowMs: clock.nowMs() - 86_400_000 });
  await systemClock.sleep(20);
  expect((await link.ask({})).status).toBe(421);
});
