import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { createPeerNetwork, startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { systemClock } from '@subcloud/kit/clock';
import { expect, test } from 'vitest';

test('a link that was cut comes back by itself', async () => {
  await using gateway = await startPeerGateway();
  await using agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken });
  const before = await gateway.link();
  gateway.cut();
  await before.closed;
  await eventually('linked again', () => gateway.links.length === 2 && agent.linked());
});

test('a gateway that goes silent is dropped after three heartbeats and dialled again', async () => {
  using clock = controllableClock();
  await using gateway = await startPeerGateway({ clock, silent: true });
  await using agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    clock,
    untilLinked: false,
  });
  const link = await gateway.link();
  link.send({ type: 'welcome', nowMs: clock.nowMs() });
  await eventually('linked', () => agent.linked());
  await eventually('the silent link is dropped', async () => {
    clock.advance(5_000);
    await systemClock.sleep(10);
    return !link.open;
  });
  await eventually('dialled again', () => gateway.links.length >= 2);
});

test('heartbeats come by the clock and say how much is in flight', async () => {
  using clock = controllableClock();
  await using gateway = await startPeerGateway({ clock });
  await using _agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, clock });
  const link = await gateway.link();
  clock.advance(5_100);
  expect(await link.message(({ type }) => type === 'heartbeat')).toEqual({ type: 'heartbeat', inFlight: 0 });
});

test('a refusal that will last is not asked about in a loop, and the agent links when it is lifted', async () => {
  using clock = controllableClock();
  await using gateway = await startPeerGateway({ clock });
  await using agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    clock,
    random: () => 0,
  });
  await gateway.link();
  gateway.refuse({ status: 403, code: 'policy.node_refused' });
  gateway.cut();
  const before = gateway.upgrades;
  await eventually('it was refused', () => gateway.upgrades > before);
  // Even when chance would wait for nothing, a refusal is a second apart: 900 ms bring no more than one.
  await systemClock.sleep(900);
  expect(gateway.upgrades - before).toBeLessThanOrEqual(2);
  gateway.refuse(undefined);
  await eventually('linked again', () => {
    clock.advance(1_000);
    return agent.linked();
  });
});

test('two addresses of one gateway are one link', async () => {
  using clock = controllableClock();
  const network = createPeerNetwork(clock);
  await using gateway = await startPeerGateway({ network, clock });
  const other = gateway.url.replace('127.0.0.1', 'localhost');
  await using agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, clock });
  const link = await gateway.link();
  link.send({
    type: 'document',
    document: network.nodeDocument(agent.nodeId, link.publicKey, {
      gateways: [{ id: gateway.gatewayId, url: other }],
    }),
  });
  await link.message(({ type }) => type === 'document-acknowledged');
  await systemClock.sleep(200);
  expect(gateway.upgrades).toBe(1);
});

test('a gateway that the node document adds gets a link of its own', async () => {
  const network = createPeerNetwork(systemClock);
  await using first = await startPeerGateway({ network });
  await using second = await startPeerGateway({ network });
  await using agent = await startTestAgent({ url: first.url, joinToken: first.joinToken });
  const link = await first.link();
  const gateways = [{ id: second.gatewayId, url: second.url }];
  link.send({ type: 'document', document: network.nodeDocument(agent.nodeId, link.publicKey, { gateways }) });
  expect((await second.link()).helloHolds).toBe(true);
  expect(first.links[0]?.open).toBe(true);
});

test('what an engine says of its own load comes with the heartbeat', async () => {
  using clock = controllableClock();
  const metrics = 'vllm:num_requests_running 2\nvllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.5\n';
  await using engine = await startScriptedEngine({ models: ['m'], answers: { 'GET /metrics': metrics } });
  await using gateway = await startPeerGateway({ clock });
  const config = { engines: [{ url: engine.url }] };
  await using _agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, clock, config });
  const link = await gateway.link();
  await eventually('the engine was asked', () => engine.questions.includes('GET /metrics'));
  clock.advance(5_100);
  const load = { models: ['m'], running: 2, waiting: 1, kvCacheUsed: 0.5 };
  expect(await link.message(({ type }) => type === 'load')).toEqual({ type: 'load', engines: [load] });
});
