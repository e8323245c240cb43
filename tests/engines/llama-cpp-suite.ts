/**
 * Everything that this project says of llama.cpp, asked of a real one: what it answers comes through the network as it
 * answers itself, what it tells of itself is understood, and what it begins another one ends.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createEngineFleet } from '@subcloud/agent/engines/engine-fleet';
import { parseLoad } from '@subcloud/agent/engines/engine-load';
import { silentLog } from '@subcloud/kit/log';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { type RealEngine, joinEngine } from '@subcloud/testkit/real-engine';
import { exchangesFolder } from '@subcloud/testkit/recorded-exchanges';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import OpenAI, { BadRequestError } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EXCHANGES, type Exchange } from './exchanges.ts';
import { LLAMA_MODEL, type LlamaKind, commandOf, startLlamaServer } from './llama-server.ts';

const KINDS: readonly LlamaKind[] = ['chat', 'tools', 'embeddings'];
const STORY = [{ role: 'user' as const, content: 'Tell me a story about a fox.' }];
const story = { model: LLAMA_MODEL, temperature: 0, max_tokens: 200, messages: STORY };
const servers = new Map<LlamaKind, RealEngine>();
const server = (kind: LlamaKind): RealEngine => {
  const found = servers.get(kind);
  if (found === undefined) throw new Error(`no ${kind} server`);
  return found;
};

beforeAll(async () => {
  for (const kind of KINDS) servers.set(kind, await startLlamaServer(kind));
});
afterAll(async () => {
  await Promise.all([...servers.values()].map((started) => started[Symbol.asyncDispose]()));
});

interface Said {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

async function ask(url: string, { path, body }: Pick<Exchange, 'path' | 'body'>, key?: string): Promise<Said> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(body),
  });
  return {
    status: response.status,
    contentType: response.headers.get('content-type') ?? '',
    body: await response.text(),
  };
}

/** One that is as good as the other: ids, times and what a cache had are of each answer alone. */
function comparable(text: string): string {
  return text
    .replace(/"(id|created)":("[\w-]+"|\d+),?/g, '')
    .replace(/,?"timings":\{[^}]*\}/g, '')
    .replace(/,?"prompt_tokens_details":\{[^}]*\}/g, '');
}

test.runIf(process.env['SUBCLOUD_RECORD'] === '1')('what it answers is recorded', async () => {
  mkdirSync(exchangesFolder, { recursive: true });
  const { stdout, stderr } = spawnSync(process.env['LLAMA_SERVER'] ?? '', ['--version'], { encoding: 'utf8' });
  const [version = 'unknown'] = /version: .*/.exec(stdout + stderr) ?? [];
  for (const exchange of EXCHANGES) {
    const said = await ask(server(exchange.kind).url, exchange);
    const { name, path, body } = exchange;
    const recorded = { name, path, request: body, ...said };
    writeFileSync(`${exchangesFolder}/${name}.json`, `${JSON.stringify(recorded, undefined, 2)}\n`);
  }
  const about = {
    engine: "llama.cpp's llama-server",
    version,
    model: 'demo-engine/model/tiny-f16.gguf',
    date: new Date().toISOString().slice(0, 10),
    commands: Object.fromEntries(KINDS.map((kind) => [kind, commandOf(kind)])),
    exchanges: Object.fromEntries(EXCHANGES.map(({ name, kind }) => [name, kind])),
  };
  writeFileSync(`${exchangesFolder}/about.json`, `${JSON.stringify(about, undefined, 2)}\n`);
});

async function networkWith(kind: LlamaKind): Promise<TestNetwork> {
  const network = await startTestNetwork();
  const agent = await joinEngine(network, server(kind).url, kind);
  const dispose = network[Symbol.asyncDispose].bind(network);
  network[Symbol.asyncDispose] = async () => {
    await agent.stop();
    await dispose();
  };
  const openai = new OpenAI({ baseURL: `${network.url}/v1`, apiKey: network.apiKey, maxRetries: 0 });
  await eventually('the model is offered', async () => (await openai.models.list()).data.length === 1);
  return network;
}

describe.each(KINDS)('through the network: %s', (kind) => {
  let network: TestNetwork;
  beforeAll(async () => {
    network = await networkWith(kind);
  });
  afterAll(() => network[Symbol.asyncDispose]());

  test.each(EXCHANGES.filter((exchange) => exchange.kind === kind))('$name', async (exchange) => {
    const direct = await ask(server(kind).url, exchange);
    const through = await ask(network.url, exchange, network.apiKey);
    if (direct.status === 501) {
      expect(through.status).toBe(400);
      expect(through.body).toContain('client.unsupported_operation');
      return;
    }
    expect(through.status).toBe(direct.status);
    expect(comparable(through.body)).toBe(comparable(direct.body));
  });
});

test('a conversation that is too long is the caller’s own fault, in the engine’s words', async () => {
  await using network = await networkWith('chat');
  const openai = new OpenAI({ baseURL: `${network.url}/v1`, apiKey: network.apiKey, maxRetries: 0 });
  const error = await openai.chat.completions
    .create({ model: LLAMA_MODEL, messages: [{ role: 'user', content: 'fox '.repeat(2_000) }] })
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(BadRequestError);
  expect(error).toMatchObject({ status: 400, type: 'exceed_context_size_error' });
});

test('a caller that leaves frees the slot', async () => {
  await using network = await networkWith('chat');
  const openai = new OpenAI({ baseURL: `${network.url}/v1`, apiKey: network.apiKey, maxRetries: 0 });
  const busy = async (): Promise<number> => {
    const slots = (await (await fetch(`${server('chat').url}/slots`)).json()) as readonly { is_processing: boolean }[];
    return slots.filter(({ is_processing: is }) => is).length;
  };
  const leaves = new AbortController();
  // No end in sight: the bias keeps the model from ending, and the context holds a thousand tokens.
  const stream = await openai.chat.completions.create(
    { ...story, max_tokens: 900, stream: true, logit_bias: { 2: -100 } },
    { signal: leaves.signal },
  );
  for await (const _chunk of stream) break;
  leaves.abort();
  await eventually('no slot is busy', async () => (await busy()) === 0);
  const load = parseLoad(await (await fetch(`${server('chat').url}/metrics`)).text());
  expect(load).toMatchObject({ running: 0, waiting: 0 });
});

test('what it tells of itself is understood: make, context, quantisation, load, and that it goes on with answers', async () => {
  const clock = controllableClock();
  const fleet = createEngineFleet({ clock, log: silentLog });
  await fleet.use([{ url: server('chat').url, models: {} }]);
  expect(fleet.facts()).toEqual([
    { id: LLAMA_MODEL, digest: null, quantization: 'fp16', modalities: ['text'], contextLength: 1_024 },
  ]);
  expect(fleet.pick(LLAMA_MODEL, true)).toBeDefined();
  await eventually('its load is known', () => fleet.pick(LLAMA_MODEL)?.engine.load !== undefined);
  expect(fleet.pick(LLAMA_MODEL)?.engine.load).toEqual({ running: 0, waiting: 0, kvCacheUsed: null });
  await fleet.close();
  clock[Symbol.dispose]();
});

/** The text of a stream, and where its events end in it. */
async function told(url: string, body: object): Promise<{ readonly text: string; readonly ends: readonly number[] }> {
  const said = await ask(url, { path: '/v1/chat/completions', body: { ...body, stream: true } });
  let text = '';
  const ends: number[] = [];
  for (const [, data = ''] of said.body.matchAll(/^data: (\{.*\})$/gm)) {
    const { choices } = JSON.parse(data) as { choices: readonly { delta: { content?: string | null } }[] };
    text += choices[0]?.delta.content ?? '';
    ends.push(text.length);
  }
  return { text, ends };
}

test('wherever an answer is cut, it goes on with the very words that it would have had', async () => {
  const { url } = server('chat');
  const whole = await told(url, story);
  expect(whole.text.length).toBeGreaterThan(100);
  const cuts = whole.ends.filter((end, index) => end > 0 && end < whole.text.length && index % 9 === 0);
  for (const cut of cuts) {
    // As the gateway does: white space at the end is left for the engine to say again.
    const given = whole.text.slice(0, cut).trimEnd();
    const rest = await told(url, {
      ...story,
      messages: [...STORY, { role: 'assistant', content: given }],
      continue_final_message: true,
      add_generation_prompt: false,
    });
    expect(given + rest.text).toBe(whole.text);
  }
});

test('kill -9 of one server in the middle of an answer: another goes on, with the same words', async () => {
  const dispatched: string[] = [];
  await using network = await startTestNetwork({ observe: { onDispatch: ({ node }) => void dispatched.push(node) } });
  const manifest = { apiVersion: 'subcloud/v1', kind: 'Network', spec: { routing: { midstream: 'continue' } } };
  await network.admin.call('applyNetwork', { body: { manifest: JSON.stringify(manifest) } });
  const engines = [await startLlamaServer('chat'), await startLlamaServer('chat')];
  const agents = [];
  for (const [index, { url }] of engines.entries()) agents.push(await joinEngine(network, url, `llama-${index}`));
  const openai = new OpenAI({ baseURL: `${network.url}/v1`, apiKey: network.apiKey, maxRetries: 0 });
  try {
    for (const { nodeId } of agents) {
      await eventually('it serves', async () => {
        const params = { name: 'global', node: nodeId };
        return (await network.admin.call('explainNode', { params })).serving;
      });
    }
    // It must not be over before the caller has read its beginning: the bias keeps the model from ending.
    const asked = { ...story, max_tokens: 400, logit_bias: { 2: -100 } };
    const undisturbed = (await openai.chat.completions.create(asked)).choices[0]?.message.content ?? '';
    expect(undisturbed.length).toBeGreaterThan(100);
    dispatched.length = 0;
    const stream = await openai.chat.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      const first = agents.findIndex(({ nodeId }) => nodeId === dispatched[0]);
      if (text.length > 20) engines[first]?.process.kill('SIGKILL');
    }
    expect(text).toBe(undisturbed);
    expect(new Set(dispatched).size).toBe(2);
  } finally {
    for (const agent of agents) await agent.stop();
    for (const engine of engines) await engine[Symbol.asyncDispose]();
  }
});
