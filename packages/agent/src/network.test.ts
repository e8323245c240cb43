/** The agent against the real gateway, control and database; what it does alone is tested beside each file. */
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
beforeAll(async () => {
  network = await startTestNetwork();
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
});

function openai(): OpenAI {
  return new OpenAI({ baseURL: `${network.url}/v1`, apiKey: network.apiKey, maxRetries: 0 });
}

async function ask(model: string): Promise<string | null | undefined> {
  const messages = [{ role: 'user' as const, content: 'hello' }];
  return (await openai().chat.completions.create({ model, messages })).choices[0]?.message.content;
}

test('a node enrols, serves the global network streamed and not, and answers again after a restart', async () => {
  await using node = await network.node({ name: 'restarts', models: ['restarts'] });
  await network.serving('global', node);
  expect(await ask('restarts')).toBe('Hello from restarts, model restarts.');
  const stream = await openai().chat.completions.create({
    model: 'restarts',
    messages: [{ role: 'user', content: 'hello' }],
    stream: true,
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  expect(text).toBe('Hello from restarts, model restarts.');
  const { id } = node;
  await node.stop();
  await node.start();
  expect(node.agent()?.nodeId).toBe(id);
  await network.serving('global', node);
  await eventually('it answers again', () => ask('restarts'));
});

test('a model that the engine loads later, and the name that it gets, reach the table', async () => {
  await using node = await network.node({ name: 'loads', models: ['before'] });
  await network.serving('global', node);
  node.engine.setModels(['before', 'after']);
  network.clock.advance(11_000);
  await eventually('the new model answers', () => ask('after'));
  node.agent()?.update({ engines: [{ url: node.engine.url, models: { after: 'org/After' } }] });
  await eventually('its network id answers', () => ask('org/After'));
  expect(node.engine.requests.at(-1)?.model).toBe('after');
});

test('consent that is withdrawn takes the node out, and given again brings it back', async () => {
  await using node = await network.node({ name: 'consents', models: ['consents'] });
  await network.serving('global', node);
  expect(await ask('consents')).toContain('consents');
  node.agent()?.update({ consent: { global: false, autoJoin: 'none', isolation: 'shared', join: [] } });
  await expect(ask('consents')).rejects.toThrow();
  const reached = node.engine.requests.length;
  await expect(ask('consents')).rejects.toThrow();
  expect(node.engine.requests.length).toBe(reached);
  node.agent()?.update({ consent: { global: true, autoJoin: 'none', isolation: 'shared', join: [] } });
  await eventually('it answers again', () => ask('consents'));
});

test('a node that the network removed is refused its link, and says so instead of knocking in a loop', async () => {
  await using node = await network.node({ name: 'removed', models: ['removed'] });
  await network.serving('global', node);
  await network.admin.call('removeNode', { params: { id: node.id } });
  await eventually('the link is gone', () => node.agent()?.linked() === false);
  await expect(ask('removed')).rejects.toThrow();
});
