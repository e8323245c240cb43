import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { type DocumentWish, createPeerNetwork, startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { type EngineAnswers, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '@subcloud/kit/clock';

const GLOBAL: DocumentWish = { memberships: [{ pool: 'global', models: ['m'] }] };

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'agent-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('a machine with an engine enrols, links, declares its models and answers a request for its pool', async () => {
  await using engine = await startScriptedEngine({ models: ['m'] });
  await using gateway = await startPeerGateway({ wish: GLOBAL });
  await using agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    config: { engines: [{ url: engine.url }], labels: { tier: 'gold' }, location: { country: 'DE' }, name: 'box' },
  });
  const link = await gateway.link();
  expect(link.helloHolds).toBe(true);
  expect(gateway.enrolments).toMatchObject([{ name: 'box', proofHolds: true }]);
  expect(await link.declaration(() => true)).toMatchObject({
    nodeId: agent.nodeId,
    models: [{ id: 'm' }],
    labels: { tier: 'gold' },
    location: { country: 'DE' },
    consent: { global: true, autoJoin: 'none' },
  });
  const answer = await link.ask({ body: { model: 'm', messages: [{ role: 'user', content: 'hi' }] } });
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.text)).toMatchObject({ choices: [{ message: { content: 'Hello from m, model m.' } }] });
  expect(agent.served).toMatchObject([{ accepted: true, pool: 'global', model: 'm', tableVersion: 1 }]);
});

test('what an engine says of its models is declared, and declared again when it says something else', async () => {
  using clock = controllableClock();
  const list = (tokens: number, name: string): EngineAnswers => ({
    'GET /v1/models': `{"data":[{"id":"${name}","owned_by":"vllm","max_model_len":${tokens}}]}`,
    'GET /version': '{"version":"0.9.0"}',
  });
  await using engine = await startScriptedEngine({ models: [], answers: list(4096, 'm') });
  await using gateway = await startPeerGateway({ clock });
  await using _agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    clock,
    config: { engines: [{ url: engine.url, models: { m: 'org/M', n: 'org/M' } }] },
  });
  const link = await gateway.link();
  const first = await link.declaration(() => true);
  expect(first.models).toEqual([
    { id: 'org/M', digest: null, quantization: null, modalities: null, contextLength: 4096 },
  ]);
  engine.setAnswers(list(8192, 'n'));
  clock.advance(5_000);
  clock.advance(5_000);
  const next = await link.declaration(({ models }) => models[0]?.contextLength === 8192);
  expect(next.serial).toBeGreaterThan(first.serial);
  expect(link.declarations).toHaveLength(2);
});

test('the same over TLS, with a certificate that no authority signed', async () => {
  const { certificate, privateKey } = makeTlsCertificate(['127.0.0.1'], Date.now());
  await using engine = await startScriptedEngine({ models: ['m'] });
  await using gateway = await startPeerGateway({ wish: GLOBAL, tls: { key: privateKey, cert: certificate } });
  await using _agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    config: { engines: [{ url: engine.url }] },
  });
  const link = await gateway.link();
  expect(link.helloHolds).toBe(true);
  expect((await link.ask({})).status).toBe(200);
});

test('the node dials from the address that it is told to', async () => {
  await using gateway = await startPeerGateway();
  await using _agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    config: { localAddress: '127.0.0.7' },
  });
  expect((await gateway.link()).remoteAddress).toBe('127.0.0.7');
});

test('keys and state are readable by their owner only', async () => {
  const dataDir = folder();
  await using gateway = await startPeerGateway();
  await using _agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir });
  for (const name of ['node.pem', 'node.json']) expect(statSync(join(dataDir, name)).mode & 0o777).toBe(0o600);
});

test('a restart is the same node and needs no join token', async () => {
  const dataDir = folder();
  await using gateway = await startPeerGateway();
  const before = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir });
  await before.stop();
  await using after = await startTestAgent({ url: gateway.url, dataDir });
  expect(after.nodeId).toBe(before.nodeId);
  expect(gateway.enrolments).toHaveLength(1);
});

test('a crash between enrolment and the storing of its answer leaves a machine that enrols as the same node', async () => {
  const dataDir = folder();
  await using gateway = await startPeerGateway();
  const before = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir });
  await before.stop();
  rmSync(join(dataDir, 'node.json'));
  await using after = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir });
  expect(after.nodeId).toBe(before.nodeId);
  expect(gateway.enrolments).toHaveLength(2);
});

test('a folder of one network is not used in another', async () => {
  const dataDir = folder();
  await using gateway = await startPeerGateway();
  await (await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir })).stop();
  await using other = await startPeerGateway();
  await expect(startTestAgent({ url: other.url, joinToken: other.joinToken, dataDir })).rejects.toThrow(
    /belongs to a node of another network/,
  );
  expect(other.upgrades).toBe(0);
});

test('damaged state stops the agent, because to go on without it would accept a rolled-back document', async () => {
  const dataDir = folder();
  await using gateway = await startPeerGateway();
  await (await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir })).stop();
  writeFileSync(join(dataDir, 'node.json'), readFileSync(join(dataDir, 'node.json'), 'utf8').slice(0, -20));
  await expect(startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir })).rejects.toThrow(/damaged/);
});

test('a join token that the network refuses is an error at once, with the reason', async () => {
  await using gateway = await startPeerGateway();
  await using other = await startPeerGateway({ network: gateway.network });
  // The token of another gateway of the same network: right fingerprint, unknown secret.
  await expect(startTestAgent({ url: gateway.url, joinToken: other.joinToken })).rejects.toThrow(/policy.join_refused/);
});

test('a plain URL off loopback is refused before anything is sent', async () => {
  await using gateway = await startPeerGateway();
  const start = startTestAgent({ url: 'http://192.0.2.1:7700', joinToken: gateway.joinToken });
  await expect(start).rejects.toThrow(/must be https/);
});

test('declaration serials grow over restarts, also when the clock was set back', async () => {
  const dataDir = folder();
  using clock = controllableClock();
  await using gateway = await startPeerGateway({ clock, network: createPeerNetwork(clock) });
  const before = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir, clock });
  const first = await (await gateway.link()).declaration(() => true);
  await before.stop();
  clock.jumpWallClock(-60_000);
  await using _after = await startTestAgent({ url: gateway.url, dataDir, clock });
  const second = await (await gateway.link()).declaration(() => true);
  expect(second.serial).toBeGreaterThan(first.serial);
});

test('consent that changes in the file is declared and in force without a restart; a broken file changes nothing', async () => {
  const file = join(folder(), 'agent.yaml');
  writeFileSync(file, 'consent:\n  global: true\n');
  using clock = controllableClock();
  await using engine = await startScriptedEngine({ models: ['m'] });
  await using gateway = await startPeerGateway({ clock, wish: GLOBAL });
  await using _agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    clock,
    config: { config: file, engines: [{ url: engine.url }] },
  });
  const link = await gateway.link();
  expect((await link.ask({})).status).toBe(200);
  writeFileSync(file, 'consent:\n  globl: false\n');
  clock.advance(3_000);
  expect((await link.ask({})).status).toBe(200);
  writeFileSync(file, 'consent:\n  global: false\n');
  clock.advance(3_000);
  expect((await link.ask({})).status).toBe(421);
  await link.declaration(({ consent }) => !consent.global);
});

test('what is in flight is finished before the agent stops, and the gateway hears first that nothing new is taken', async () => {
  using clock = controllableClock();
  await using engine = await startScriptedEngine({
    models: ['m'],
    behaviour: { kind: 'slow-first-byte', delayMs: 5_000 },
    clock,
  });
  await using gateway = await startPeerGateway({ clock, wish: GLOBAL });
  const agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    clock,
    config: { engines: [{ url: engine.url }] },
  });
  const link = await gateway.link();
  const slow = link.ask({});
  await eventually('the engine has it', () => engine.requests.length === 1);
  const stopped = agent.stop();
  await link.message(({ type }) => type === 'draining');
  await eventually('new requests are refused', async () => (await link.ask({})).status === 503);
  clock.advance(6_000);
  expect((await slow).status).toBe(200);
  await stopped;
  await link.closed;
});

test('an answer that never ends does not keep the agent from stopping', async () => {
  using clock = controllableClock();
  await using engine = await startScriptedEngine({ models: ['m'], behaviour: { kind: 'hang' }, clock });
  await using gateway = await startPeerGateway({ clock, wish: GLOBAL });
  const agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    clock,
    config: { engines: [{ url: engine.url }] },
  });
  const link = await gateway.link();
  const hanging = link.ask({}).catch((error: unknown) => error);
  await eventually('the engine has it', () => engine.requests.length === 1);
  const stopped = agent.stop();
  await link.message(({ type }) => type === 'draining');
  await eventually('the drain is bounded', async () => {
    clock.advance(31_000);
    return Promise.race([stopped.then(() => true), systemClock.sleep(50).then(() => false)]);
  });
  expect(await hanging).toBeInstanceOf(Error);
});
