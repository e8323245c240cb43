/** Memberships on the real network: asking, waiting, leaving while answers are under way, and what an operator keeps back. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chooseJoin, chooseLeave } from '@subcloud/agent/run';
import { eventually } from '@subcloud/testkit/eventually';
import { PLACES, type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';

let network: TestNetwork;
beforeAll(async () => {
  network = await startTestNetwork();
});
afterAll(() => network[Symbol.asyncDispose]());

const COOLDOWN_MS = 60_000;
const OPERATOR = 'user:operator';

function manifest(name: string, spec: object, labels: Readonly<Record<string, string>> = {}): object {
  return {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner: 'org:owner', labels },
    spec: { participation: { mode: 'open', autoJoin: true, cooldown: '60s' }, ...spec },
  };
}

async function apply(name: string, spec: object, labels: Readonly<Record<string, string>> = {}): Promise<void> {
  await network.principal('org:owner').catch(() => undefined);
  await network.apply(manifest(name, spec, labels));
}

const explain = (pool: string, node: TestNode) =>
  network.admin.call('explainNode', { params: { name: pool, node: node.id } });

async function reaches(pool: string, node: TestNode, state: string | null, reason?: string): Promise<void> {
  await eventually(`${node.name} is ${String(state)} in ${pool}`, async () => {
    const found = await explain(pool, node);
    if (found.state === state && (reason === undefined || found.reason === reason)) return true;
    throw new Error(`${String(found.state)}: ${found.reason}`);
  });
}

function ask(pool: string, model: string, stream = false): Promise<Response> {
  return fetch(`${network.url}/s/${pool}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'hello' }] }),
  });
}

async function models(pool: string): Promise<string[]> {
  const response = await fetch(`${network.url}/s/${pool}/v1/models`, {
    headers: { authorization: `Bearer ${network.apiKey}` },
  });
  return ((await response.json()) as { data: { id: string }[] }).data.map(({ id }) => id);
}

/** Begins a streamed answer, and lets the rest of it come. */
async function streaming(pool: string, node: TestNode, model: string) {
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  await node.engine.set({
    kind: 'custom',
    answer: (_request, response) => {
      const event = (delta: object, end: string | null = null): string =>
        `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 0, model, choices: [{ index: 0, delta, finish_reason: end }] })}\n\n`;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(event({ content: 'begun' }));
      void finished.then(() => response.end(`${event({ content: ' and done' })}${event({}, 'stop')}data: [DONE]\n\n`));
    },
  });
  const response = await ask(pool, model, true);
  expect(response.status).toBe(200);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = Buffer.from((await reader.read()).value ?? []).toString();
  return {
    finish,
    async rest(): Promise<string> {
      for (;;) {
        // A stream that is broken off ends in an error of the connection.
        const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
        if (done || value === undefined) return text;
        text += Buffer.from(value).toString();
      }
    },
  };
}

/** Time passes in steps in which heartbeats still get through, as they do in real time. */
async function pass(totalMs: number): Promise<void> {
  for (let passedMs = 0; passedMs < totalMs; passedMs += 2_500) {
    network.clock.advance(2_500);
    await fetch(`${network.url}/healthz`).then((response) => response.arrayBuffer());
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

test('callers may use an alias: the engine and the answer see the id, and other pools do not know the alias', async () => {
  const node = await network.node({
    name: 'aliased',
    models: ['acme/big', 'acme/small'],
    consent: { autoJoin: 'all' },
  });
  await apply('alias', {
    models: {
      allow: [
        { id: 'acme/big', alias: 'our-helper' },
        { id: 'acme/away', alias: 'absent' },
      ],
    },
  });
  await network.serving('alias', node);
  expect(await models('alias')).toEqual(['acme/big', 'our-helper']);
  for (const stream of [false, true]) {
    const response = await ask('alias', 'our-helper', stream);
    const text = await response.text();
    expect(response.status).toBe(200);
    expect(text).toContain('"model":"acme/big"');
    expect(text).not.toContain('our-helper');
    expect(node.engine.requests.at(-1)?.model).toBe('acme/big');
    const id = response.headers.get('x-request-id') ?? '';
    await eventually('the decision is stored', async () => {
      const { model } = await network.admin.call('getRequest', { params: { id } });
      return model === 'acme/big';
    });
  }
  expect((await ask('global', 'our-helper')).status).toBe(404);
  expect((await ask('alias', 'absent')).status).toBe(503);
  expect((await ask('alias', 'acme/small')).status).toBe(404);
  await node.stop();
});

test('whoever asks by name and is not eligible yet is on the list, joins when it is, and waits after a suspension', async () => {
  await apply('gold', {
    nodes: { labels: { tier: 'gold' } },
    participation: { mode: 'open', autoJoin: false, cooldown: '60s' },
  });
  const node = await network.node({
    name: 'asker',
    labels: { tier: 'silver' },
    operator: OPERATOR,
    consent: { join: ['gold'] },
  });
  await reaches('gold', node, 'requested', 'nodes.labels');
  node.agent()?.update({ labels: { tier: 'gold' } });
  await network.serving('gold', node);

  node.agent()?.update({ labels: { tier: 'silver' } });
  await reaches('gold', node, 'suspended', 'nodes.labels');
  node.agent()?.update({ labels: { tier: 'gold' } });
  await reaches('gold', node, 'suspended', 'cooldown');
  const refused = (await (await ask('gold', 'test-model')).json()) as { error: { message: string } };
  expect(refused.error.message).toContain('0 of');
  const { byReason } = await network.admin.call('explainSubcloud', { params: { name: 'gold' } });
  expect(byReason['cooldown']).toBe(1);
  await pass(COOLDOWN_MS / 2);
  // A failure in between begins the wait anew.
  node.agent()?.update({ labels: { tier: 'silver' } });
  await reaches('gold', node, 'suspended', 'nodes.labels');
  node.agent()?.update({ labels: { tier: 'gold' } });
  await reaches('gold', node, 'suspended', 'cooldown');
  await pass(COOLDOWN_MS - 15_000);
  expect((await explain('gold', node)).state).toBe('suspended');
  await pass(20_000);
  await network.serving('gold', node);
  await node.stop();
});

test('who leaves an isolating Subcloud finishes its answers, takes nothing new, and is global only after the last of them', async () => {
  await apply('island', { isolation: 'isolate' });
  const node = await network.node({
    name: 'islander',
    models: ['island-model'],
    operator: OPERATOR,
    consent: { autoJoin: 'all', isolation: 'isolate' },
  });
  await network.serving('island', node);
  const answer = await streaming('island', node, 'island-model');

  chooseLeave(join(network.dataDir, 'agents', 'islander'), 'island');
  await reaches('island', node, 'draining');
  expect((await explain('island', node)).serving).toBe(false);
  expect((await ask('island', 'island-model')).status).not.toBe(200);
  // Held, though the document has been there for a while: the answer is still under way.
  await pass(15_000);
  expect((await explain('island', node)).state).toBe('draining');
  expect((await explain('global', node)).reason).toBe('isolation');
  expect((await ask('global', 'island-model')).status).not.toBe(200);

  await node.engine.set({ kind: 'ok' });
  answer.finish();
  expect(await answer.rest()).toContain('and done');
  await reaches('island', node, 'left', 'consent');
  await network.serving('global', node);
  expect((await ask('global', 'island-model')).status).toBe(200);

  // The yes on this machine comes back, and the departed node waits.
  chooseJoin(join(network.dataDir, 'agents', 'islander'), 'island', 'isolate');
  await reaches('island', node, 'requested', 'cooldown');
  await pass(COOLDOWN_MS + 2_500);
  await network.serving('island', node);
  expect((await explain('global', node)).state).toBeNull();
  await node.stop();
});

test('a removed member finishes its answers, too, and then is removed', async () => {
  await apply('removing', {});
  const node = await network.node({
    name: 'leaver',
    models: ['m-removed'],
    consent: { autoJoin: 'all', global: false },
  });
  await network.serving('removing', node);
  const answer = await streaming('removing', node, 'm-removed');
  await network.admin.call('removeMember', { params: { name: 'removing', node: node.id } });
  expect((await explain('removing', node)).state).toBe('draining');
  answer.finish();
  expect(await answer.rest()).toContain('[DONE]');
  await reaches('removing', node, 'removed', 'removed by owner');
  await node.stop();
});

test('a failing location cuts answers in flight, any other clause lets them finish', async () => {
  await apply('germany', { nodes: { location: { in: ['DE'] }, labels: { tier: 'gold' } } });
  const node = await network.node({
    name: 'german',
    models: ['m-german'],
    address: '127.0.1.77',
    labels: { tier: 'gold' },
    consent: { autoJoin: 'all', global: false },
  });
  await network.serving('germany', node);

  const kept = await streaming('germany', node, 'm-german');
  node.agent()?.update({ labels: { tier: 'silver' } });
  await reaches('germany', node, 'suspended', 'nodes.labels');
  kept.finish();
  expect(await kept.rest()).toContain('[DONE]');

  node.agent()?.update({ labels: { tier: 'gold' } });
  await reaches('germany', node, 'suspended', 'cooldown');
  await pass(COOLDOWN_MS + 2_500);
  await network.serving('germany', node);

  const cut = await streaming('germany', node, 'm-german');
  // Read from now on: what is not read when the connection breaks is lost to this client.
  const rest = cut.rest();
  const elsewhere = { cidr: '127.0.1.77/32', country: 'US' };
  await network.admin.call('putPlaces', { body: { places: [...PLACES, elsewhere] } });
  const text = await rest;
  expect(text).toContain('upstream.withdrawn');
  expect(text).not.toContain('[DONE]');
  await reaches('germany', node, 'suspended', 'nodes.location');
  await network.admin.call('putPlaces', { body: { places: [...PLACES] } });
  cut.finish();
  await node.stop();
});

test('a rule of the operator decides which Subclouds take the node, in control and at the node itself', async () => {
  await apply('care', {}, { team: 'clinical' });
  await apply('ads', {}, { team: 'ads' });
  const node = await network.node({
    name: 'ruled',
    models: ['m-ruled'],
    operator: OPERATOR,
    consent: { autoJoin: { where: 'subcloud.labels.team == "clinical" && subcloud.isolation == "shared"' } },
  });
  await network.serving('care', node);
  expect((await explain('ads', node)).reason).toBe('consent');
  expect((await ask('care', 'm-ruled')).status).toBe(200);
  // A revision that the rule no longer admits.
  await apply('care', {}, { team: 'ads' });
  await reaches('care', node, 'left', 'consent');
  await node.stop();
});

test('an operator offers in a pool what it lists there, and nothing else', async () => {
  const node = await network.node({
    name: 'choosy',
    models: ['ours/a', 'ours/b', 'theirs/c'],
    operator: OPERATOR,
    consent: {
      autoJoin: 'all',
      pools: { global: { models: ['theirs/*'] }, alias: { models: ['nothing/*'] }, listed: { models: ['ours/*'] } },
    },
  });
  await apply('listed', {});
  await network.serving('listed', node);
  await network.serving('global', node);
  expect((await explain('listed', node)).models).toEqual(['ours/a', 'ours/b']);
  expect((await explain('global', node)).models).toEqual(['theirs/c']);
  await node.stop();
});

test('private models are in no other pool while the Subcloud holds the node, and come back when it ends', async () => {
  const spec = {
    models: { allow: [{ id: 'team/tuned' }], private: true },
    participation: { mode: 'open', autoJoin: true, cooldown: '0s' },
  };
  await apply('secret', spec);
  await apply('anything', {});
  const node = await network.node({
    name: 'tuner',
    models: ['team/tuned', 'team/base'],
    operator: OPERATOR,
    consent: { autoJoin: 'all' },
  });
  await network.serving('anything', node);
  await network.serving('global', node);
  // Consent to auto-join is not consent to leave other pools with a model.
  expect((await explain('secret', node)).reason).toBe('consent');
  expect((await explain('global', node)).models).toEqual(['team/base', 'team/tuned']);

  const folder = join(network.dataDir, 'agents', 'tuner');
  chooseJoin(folder, 'secret', 'exclusive');
  await network.serving('secret', node);
  await eventually('the others are without the model', async () => {
    const elsewhere = await Promise.all(['global', 'anything'].map(async (pool) => (await explain(pool, node)).models));
    return elsewhere.every((found) => found.join() === 'team/base');
  });
  expect((await ask('secret', 'team/tuned')).status).toBe(200);
  expect((await ask('global', 'team/tuned')).status).not.toBe(200);
  expect((await explain('secret', node)).models).toEqual(['team/tuned']);

  chooseLeave(folder, 'secret');
  await reaches('secret', node, 'left', 'consent');
  await eventually('the model is back', async () => (await explain('global', node)).models.length === 2);
  await node.stop();
});
