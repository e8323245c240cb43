import type { ServerResponse } from 'node:http';
import { silentLog } from '@subcloud/kit/log';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { LLAMA_CPP, LM_STUDIO, OLLAMA, SGLANG, TGI, VLLM, recorded } from '@subcloud/testkit/recorded-engines';
import { type EngineAnswers, type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { expect, onTestFinished, test } from 'vitest';
import { createEngineFleet } from './engine-fleet.ts';

const edited = (text: string, changes: Readonly<Record<string, unknown>>): string =>
  JSON.stringify({ ...(JSON.parse(text) as object), ...changes });
const unknown = { digest: null, quantization: null, modalities: null, contextLength: null };

/** A fleet on a clock of its own, and the words of its log. */
function fleetOf(...engines: readonly (ScriptedEngine | { readonly url: string })[]) {
  const clock = controllableClock();
  const lines: { readonly make?: string; readonly models?: readonly string[]; readonly text: string }[] = [];
  const write = (bindings: object, text: string): void => void lines.push({ ...bindings, text });
  const log = Object.assign(Object.create(silentLog) as typeof silentLog, { info: write, warn: write });
  Object.assign(log, { child: () => log });
  const fleet = createEngineFleet({ clock, log });
  onTestFinished(async () => {
    await fleet.close();
    clock[Symbol.dispose]();
  });
  let changes = 0;
  fleet.onChange(() => changes++);
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await fleet.look();
  };
  const use = () => fleet.use(engines.map(({ url }) => ({ url, models: {} })));
  return {
    fleet,
    clock,
    lines,
    pass,
    use,
    changes: () => changes,
    makes: () => lines.flatMap(({ make }) => make ?? []),
  };
}

async function told(answers: EngineAnswers) {
  const engine = await startScriptedEngine({ models: [], answers });
  onTestFinished(() => engine.close());
  const watched = fleetOf(engine);
  await watched.use();
  return { ...watched, engine, make: watched.makes()[0], facts: watched.fleet.facts() };
}

test('vLLM tells the context length and nothing else', async () => {
  const { make, facts } = await told(VLLM);
  expect(make).toBe('vLLM');
  expect(facts).toEqual([{ ...unknown, id: 'meta-llama/Meta-Llama-3.1-8B-Instruct', contextLength: 8096 }]);
});

test('SGLang tells context, modalities and a quantisation that was asked for', async () => {
  const { make, facts } = await told(SGLANG);
  const id = 'qwen/qwen2.5-0.5b-instruct';
  expect(make).toBe('SGLang');
  expect(facts).toEqual([{ ...unknown, id, modalities: ['text'], contextLength: 32_768 }]);
  const older = await told({
    'GET /v1/models': recorded('sglang/models.json'),
    'GET /get_model_info': edited(recorded('sglang/model-info.json'), { has_image_understanding: true }),
    'GET /get_server_info': edited(recorded('sglang/server-info.json'), { quantization: 'fp8', dtype: 'bfloat16' }),
  });
  expect(older.make).toBe('SGLang');
  expect(older.facts).toEqual([
    { ...unknown, id, modalities: ['text', 'image'], contextLength: 32_768, quantization: 'fp8' },
  ]);
});

test('SGLang: the type of the arithmetic is no quantisation, and what an old server does not say is unknown', async () => {
  const { is_generation, model_path } = JSON.parse(recorded('sglang/model-info.json')) as Record<string, unknown>;
  const { facts } = await told({
    ...SGLANG,
    'GET /model_info': JSON.stringify({ is_generation, model_path }),
    'GET /server_info': edited(recorded('sglang/server-info.json'), { dtype: 'bfloat16' }),
  });
  expect(facts).toEqual([{ ...unknown, id: 'qwen/qwen2.5-0.5b-instruct', contextLength: 32_768 }]);
});

test('Ollama tells quantisation, modalities, context and the digest of the weights, not that of its manifest', async () => {
  const { make, facts } = await told(OLLAMA);
  expect(make).toBe('Ollama');
  expect(facts).toEqual([
    {
      id: 'llama3.2:latest',
      digest: 'sha256:dde5aa3fc5ffc17176b5e8bdc82f587b24b2678c6c66101bf7da77af9f7ccdff',
      quantization: 'int4',
      modalities: ['text'],
      contextLength: 131_072,
    },
    // Two files make this model, so no one digest pins it; its own parameters limit the context.
    { id: 'llava:latest', digest: null, quantization: 'int4', modalities: ['text', 'image'], contextLength: 4096 },
  ]);
});

test('what Ollama passes on to another machine is not offered, and the log says so once', async () => {
  const { fleet, lines, pass } = await told(OLLAMA);
  await pass(70_000);
  expect(fleet.models()).not.toContain('gpt-oss:120b-cloud');
  expect(lines.filter(({ models }) => models?.includes('gpt-oss:120b-cloud') === true)).toHaveLength(1);
});

test('Ollama: the context that a model is loaded with counts, also after it has left memory', async () => {
  const { fleet, engine, pass, changes } = await told(OLLAMA);
  const context = () => fleet.facts().find(({ id }) => id === 'llama3.2:latest')?.contextLength;
  expect(context()).toBe(131_072);
  engine.setAnswers({ ...OLLAMA, 'GET /api/ps': recorded('ollama/api-ps.json') });
  await pass(70_000);
  expect(context()).toBe(4096);
  const before = changes();
  engine.setAnswers(OLLAMA);
  await pass(70_000);
  expect(context()).toBe(4096);
  expect(changes()).toBe(before);
});

test('Ollama is asked about a model once, until its manifest changes', async () => {
  const { engine, pass } = await told(OLLAMA);
  const shows = (): number => engine.questions.filter((question) => question === 'POST /api/show').length;
  expect(shows()).toBe(2);
  await pass(70_000);
  expect(shows()).toBe(2);
  const tags = recorded('ollama/api-tags.json').replace('a80c4f17', 'b80c4f17');
  engine.setAnswers({ ...OLLAMA, 'GET /api/tags': tags });
  await pass(70_000);
  expect(shows()).toBe(3);
});

test.for([
  ['an adapter changes the weights', 'FROM /x/blobs/sha256-$\nADAPTER /x/blobs/sha256-$\n', null],
  ['the weights have no name by digest', 'FROM llama3.2\n', null],
  ['a template holds a line like an instruction', 'FROM /x/blobs/sha256-$\nTEMPLATE """\nFROM /y/sha256-$\n"""', '$'],
  ['the path is that of Windows', 'FROM C:\\models\\blobs\\sha256-$\n', '$'],
  ['the digest is written as before 2024', 'FROM /x/blobs/sha256:$\n', '$'],
] as const)('Ollama, digest of the weights: %s', async ([, modelfile, digest]) => {
  const hex = 'ab'.repeat(32);
  const shown = edited(recorded('ollama/api-show-llama3-2.json'), { modelfile: modelfile.replaceAll('$', hex) });
  const { facts } = await told({ ...OLLAMA, 'POST /api/show': shown });
  expect(facts[0]?.digest).toBe(digest === null ? null : `sha256:${hex}`);
});

test.for([
  ['models', 'props-vision', null, ['text', 'image'], 65_536],
  ['models', 'props-old', null, null, 512],
  ['models', 'props-ftype', 'int4', ['text'], 8192],
  ['models-one', 'props-vision', 'fp16', ['text', 'image'], 65_536],
] as const)(
  'llama.cpp (%s, %s) tells what one request gets, and is not taken for the Ollama that it plays',
  async ([models, props, quantization, modalities, contextLength]) => {
    const { make, facts } = await told({
      ...LLAMA_CPP,
      'GET /v1/models': recorded(`llama-cpp/${models}.json`),
      'GET /props': recorded(`llama-cpp/${props}.json`),
    });
    expect(make).toBe('llama.cpp');
    expect(facts).toMatchObject([{ digest: null, quantization, modalities, contextLength }]);
  },
);

test('llama.cpp in front of several models says nothing of one of them for all', async () => {
  const [one, other] = ['models', 'models-one'].map(
    (name) => (JSON.parse(recorded(`llama-cpp/${name}.json`)) as { readonly data: readonly unknown[] }).data[0],
  );
  const { facts } = await told({
    ...LLAMA_CPP,
    'GET /v1/models': JSON.stringify({ object: 'list', data: [one, other] }),
  });
  expect(facts).toMatchObject([
    { quantization: 'fp16', modalities: null, contextLength: 4096 },
    { quantization: null, modalities: null, contextLength: 131_072 },
  ]);
});

test.for([
  ['info', 4096],
  ['info-v1', 2048],
] as const)(
  'TGI (%s) tells the context; a commit is no digest, and a torch type no quantisation',
  async ([info, tokens]) => {
    const { make, facts } = await told({ ...TGI, 'GET /info': recorded(`tgi/${info}.json`) });
    expect(make).toBe('TGI');
    expect(facts).toEqual([{ ...unknown, id: 'meta-llama/Llama-3.1-8B-Instruct', contextLength: tokens }]);
  },
);

test('an embeddings server that answers /info too is not TGI', async () => {
  const { make, facts } = await told({ ...TGI, 'GET /info': recorded('tgi/embeddings-info.json') });
  expect(make).toBe('OpenAI-compatible');
  expect(facts).toEqual([{ ...unknown, id: 'meta-llama/Llama-3.1-8B-Instruct' }]);
});

test('LM Studio tells quantisation, modalities, and the context that a loaded model has', async () => {
  const { make, facts } = await told(LM_STUDIO);
  expect(make).toBe('LM Studio');
  expect(facts).toEqual([
    {
      id: 'meta-llama-3.1-8b-instruct',
      digest: null,
      quantization: 'int4',
      modalities: ['text'],
      contextLength: 131_072,
    },
    {
      id: 'qwen2-vl-7b-instruct',
      digest: null,
      quantization: 'int4',
      modalities: ['text', 'image'],
      contextLength: 32_768,
    },
    { id: 'qwen3-8b', digest: null, quantization: 'int8', modalities: ['text'], contextLength: 8192 },
    {
      id: 'text-embedding-nomic-embed-text-v1.5',
      digest: null,
      quantization: 'int4',
      modalities: ['embedding'],
      contextLength: 2048,
    },
  ]);
});

test('any other server is served without facts, but for the context length in the words of vLLM', async () => {
  const { make, facts } = await told({
    'GET /v1/models': '{"data":[{"id":"a","max_model_len":1024},{"id":"b"},{"id":"c","max_model_len":"many"}]}',
  });
  expect(make).toBe('OpenAI-compatible');
  expect(facts.map(({ id, contextLength }) => [id, contextLength])).toEqual([
    ['a', 1024],
    ['b', null],
    ['c', null],
  ]);
});

let endlessBytes = 0;
const ENDLESS = (_asked: unknown, response: ServerResponse): void => {
  const more = (): void => {
    if (response.destroyed) return;
    endlessBytes += 300_000;
    response.write('["x"],'.repeat(50_000), () => setImmediate(more));
  };
  response.on('error', () => {});
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('[');
  more();
};
const REDIRECT = (_asked: unknown, response: ServerResponse): void => {
  response.writeHead(302, { location: '/props' });
  response.end(recorded('llama-cpp/props-vision.json'));
};
const EVERYTHING = [
  'GET /version',
  'GET /model_info',
  'GET /get_model_info',
  'GET /props',
  'GET /info',
  'GET /api/v0/models',
  'GET /api/tags',
];
const everywhere = (answer: EngineAnswers[string]): EngineAnswers =>
  Object.fromEntries(EVERYTHING.map((question) => [question, answer]));

test.for([
  ['a page of HTML', '<html>Welcome</html>'],
  ['an endless answer', ENDLESS],
  ['a redirect', REDIRECT],
  ['an error with status 200', '{"error":"Unexpected endpoint or method."}'],
  ['a list', '[]'],
  ['null', 'null'],
  [
    'values of other types',
    '{"model_path":1,"version":[],"data":"m","models":{"a":1},"model_id":{},"is_generation":"y"}',
  ],
] as const)('a server whose every answer is %s still offers its models, with nothing known', async ([, answer]) => {
  const { make, facts } = await told({
    ...everywhere(answer),
    'GET /v1/models': '{"data":[{"id":"m","owned_by":"llamacpp","meta":7}]}',
  });
  expect(make).toBe('OpenAI-compatible');
  expect(facts).toEqual([{ ...unknown, id: 'm' }]);
  expect(endlessBytes).toBeLessThan(EVERYTHING.length * 8_388_608);
});

test.for([
  [
    'ollama',
    { ...OLLAMA, 'POST /api/show': '{"model_info":{"general.architecture":"llama","llama.context_length":-5}}' },
  ],
  ['ollama', { ...OLLAMA, 'POST /api/show': '{"details":[],"modelfile":{},"capabilities":"vision","parameters":3}' }],
  [
    'lm-studio',
    {
      ...LM_STUDIO,
      'GET /api/v0/models': '{"data":[{"id":"qwen3-8b","state":"loaded","type":"x","max_context_length":1e99}]}',
    },
  ],
  ['sglang', { ...SGLANG, 'GET /server_info': '"' }],
] as const)('facts of another shape are unknown (%s: %j)', async ([, answers]) => {
  for (const fact of (await told(answers)).facts) expect(fact).toMatchObject({ digest: null, quantization: null });
});

test('a server that never answers holds nothing up for longer than one reading, and then offers its models', async () => {
  const engine = await startScriptedEngine({
    models: ['m'],
    answers: everywhere(() => {}),
  });
  onTestFinished(() => engine.close());
  const { fleet, clock, use } = fleetOf(engine);
  const ready = use();
  await eventually('it was asked', () => engine.questions.length > 0);
  clock.advance(5_000);
  await ready;
  expect(fleet.facts()).toEqual([{ ...unknown, id: 'm' }]);
});

test('a make that is too busy to answer keeps its facts', async () => {
  const { fleet, engine, clock, pass, facts } = await told(SGLANG);
  engine.setAnswers({ ...SGLANG, 'GET /model_info': () => {}, 'GET /get_model_info': () => {} });
  const asked = engine.questions.length;
  const passing = pass(70_000);
  await eventually('it was asked again', () => engine.questions.length > asked);
  clock.advance(5_000);
  await passing;
  expect(fleet.facts()).toEqual(facts);
});

test('another make on the same port is noticed with its models', async () => {
  const { fleet, engine, pass, makes } = await told(VLLM);
  engine.setAnswers(LM_STUDIO);
  await pass(10_000);
  expect(fleet.facts().map(({ id }) => id)).toContain('qwen3-8b');
  expect(fleet.facts()).toMatchObject([{ quantization: 'int4' }, {}, {}, {}]);
  expect(makes()).toEqual(['vLLM', 'LM Studio']);
});

test('what two engines say differently of one model, or only one of them says, is unknown', async () => {
  const list = (contextLength: number): string =>
    `{"data":[{"id":"m","max_model_len":${contextLength}},{"id":"n","max_model_len":7}]}`;
  await using one = await startScriptedEngine({ models: [], answers: { 'GET /v1/models': list(4096) } });
  await using two = await startScriptedEngine({ models: [], answers: { 'GET /v1/models': list(8192) } });
  const { fleet, pass, use, changes } = fleetOf(one, two);
  await use();
  const facts = (): unknown => fleet.facts().map(({ id, contextLength }) => [id, contextLength]);
  expect(facts()).toEqual([
    ['m', null],
    ['n', 7],
  ]);
  const before = changes();
  two.setAnswers({ 'GET /v1/models': '{"data":[{"id":"m"}]}' });
  await pass(10_000);
  expect(facts()).toEqual([
    ['m', null],
    ['n', 7],
  ]);
  expect(changes()).toBe(before);
});

test('names that cannot be offered are told in the log, once', async () => {
  const { lines, pass } = await told({ 'GET /v1/models': '{"data":[{"id":"näme"},{"id":"m"},{"id":"with space"}]}' });
  await pass(70_000);
  expect(lines.filter(({ text }) => text.includes('map them in agent.yaml'))).toMatchObject([
    { models: ['näme', 'with space'] },
  ]);
});
