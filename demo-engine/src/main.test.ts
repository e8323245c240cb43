import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const mainPath = fileURLToPath(new URL('./main.ts', import.meta.url));
const isInstalled = existsSync(new URL('../node_modules/node-llama-cpp/package.json', import.meta.url));
const children: ChildProcess[] = [];

async function start(stdin: 'pipe' | 'ignore' = 'pipe'): Promise<{ process: ChildProcess; client: OpenAI }> {
  const child = spawn(process.execPath, [mainPath], { stdio: [stdin, 'pipe', 'inherit', 'ipc'] });
  children.push(child);
  if (child.stdout === null) throw new Error('no stdout');
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { listening } = JSON.parse(line) as { listening: { host: string; port: number } };
  const baseURL = `http://${listening.host}:${listening.port}/v1`;
  return { process: child, client: new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 }) };
}

const france = { role: 'user', content: 'What is the capital of France?' } as const;
const model = 'subcloud-demo';

/** The real model in the real process, through the official client. `npm ci` in this folder makes these run. */
describe.runIf(isInstalled)('the demo engine', () => {
  let client: OpenAI;
  beforeAll(async () => {
    ({ client } = await start());
  });
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  const create = (more: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>) =>
    client.chat.completions.create({ model, temperature: 0, messages: [france], ...more });
  const contentOf = (completion: OpenAI.ChatCompletion) => completion.choices[0]?.message.content;

  test('streams the capital of France', async () => {
    const stream = await client.chat.completions.create({
      model,
      temperature: 0,
      messages: [france],
      stream: true,
      stream_options: { include_usage: true },
    });
    const parts: string[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      const text = chunk.choices[0]?.delta.content;
      if (text !== undefined && text !== null && text !== '') parts.push(text);
      usage = chunk.usage;
    }
    expect(parts.join('')).toBe('The capital of France is Paris.');
    expect(parts.length).toBeGreaterThan(3);
    expect(usage?.completion_tokens).toBe(parts.length);
  });

  test('answers the same in one piece, and lists itself', async () => {
    const completion = await create({});
    expect(contentOf(completion)).toBe('The capital of France is Paris.');
    expect(completion.choices[0]?.finish_reason).toBe('stop');
    expect((await client.models.list()).data.map((entry) => entry.id)).toEqual([model, 'subcloud-demo-embedding']);
  });

  test('continues a prompt as it stands, streamed and not', async () => {
    const prompt = 'The capital of';
    const request = { model, prompt, temperature: 0, max_tokens: 12, stop: ['\n'] };
    const whole = await client.completions.create(request);
    expect(whole).toMatchObject({ object: 'text_completion', usage: { completion_tokens: expect.any(Number) } });
    let streamed = '';
    for await (const { choices } of await client.completions.create({ ...request, stream: true }))
      streamed += choices[0]?.text ?? '';
    expect(streamed).toBe(whole.choices[0]?.text);
    expect(streamed.length).toBeGreaterThan(3);
    await expect(client.completions.create({ ...request, best_of: 2 })).rejects.toMatchObject({ status: 400 });
  });

  test('embeds texts so that what means alike lies close, in both encodings', async () => {
    const input = ['The capital of France is Paris.', 'Paris is a city in France.', 'I like bananas.'];
    const embed = (encoding_format: 'float' | 'base64') =>
      client.embeddings.create({ model: 'subcloud-demo-embedding', input, encoding_format });
    const { data, usage } = await embed('float');
    const [france, paris, bananas] = data.map(({ embedding }) => embedding);
    if (france === undefined || paris === undefined || bananas === undefined) throw new Error('three were asked for');
    const dot = (a: readonly number[], b: readonly number[]) =>
      a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
    expect(france).toHaveLength(512);
    expect(dot(france, france)).toBeCloseTo(1, 4);
    expect(dot(france, paris)).toBeGreaterThan(dot(france, bananas) + 0.3);
    expect(usage.prompt_tokens).toBeGreaterThan(10);
    // Left to itself the client asks for base64 and decodes it.
    const [decoded] = (await client.embeddings.create({ model: 'subcloud-demo-embedding', input })).data;
    decoded?.embedding.forEach((value, at) => expect(value).toBeCloseTo(france[at] ?? 2, 5));
    await expect(client.embeddings.create({ model, input })).rejects.toMatchObject({ status: 404 });
    await expect(
      embed('float').then(() => client.embeddings.create({ model: 'subcloud-demo-embedding', input: [] })),
    ).rejects.toMatchObject({ status: 400 });
  });

  test('continues an answer that was begun', async () => {
    const begun = { role: 'assistant', content: 'The capital of France' } as const;
    expect(contentOf(await create({ messages: [france, begun] }))).toBe(' is Paris.');
  });

  test('keeps questions that are asked at once apart', async () => {
    const capitals = {
      Italy: 'Rome',
      Spain: 'Madrid',
      Japan: 'Tokyo',
      Egypt: 'Cairo',
      Norway: 'Oslo',
      Greece: 'Athens',
    };
    const ask = (country: string) =>
      create({ messages: [{ role: 'user', content: `What is the capital of ${country}?` }] });
    const answers = await Promise.all(Object.keys(capitals).map(ask));
    expect(answers.map(contentOf)).toEqual(
      Object.entries(capitals).map(([country, city]) => `The capital of ${country} is ${city}.`),
    );
  });

  test('stops at a stop sequence, and at the limit', async () => {
    expect(contentOf(await create({ stop: [' is P'] }))).toBe('The capital of France');
    const cut = await create({ max_completion_tokens: 2 });
    expect([contentOf(cut), cut.choices[0]?.finish_reason]).toEqual(['The capital', 'length']);
  });

  test('tells how sure it was of every token', async () => {
    const completion = await create({ logprobs: true, top_logprobs: 2 });
    const tokens = completion.choices[0]?.logprobs?.content ?? [];
    expect(tokens.map((token) => token.token).join('')).toBe('The capital of France is Paris.');
    expect(tokens.length).toBe(completion.usage?.completion_tokens);
    for (const token of tokens) {
      expect(token.top_logprobs).toHaveLength(2);
      expect(token.logprob).toBeCloseTo(token.top_logprobs[0]?.logprob ?? Number.NaN);
      expect(token.logprob).toBeLessThanOrEqual(0);
    }
  });

  test('tells the same story for the same seed, and another for another', async () => {
    const tell = (seed: number) =>
      create({ temperature: 1, seed, messages: [{ role: 'user', content: 'Tell me a story about a fox.' }] });
    const [first, again, other] = [await tell(7), await tell(7), await tell(8)];
    expect(contentOf(again)).toBe(contentOf(first));
    expect(contentOf(other)).not.toBe(contentOf(first));
  });

  test('refuses a conversation that is longer than its context', async () => {
    const long = { role: 'user', content: 'fox '.repeat(2_000) } as const;
    await expect(create({ messages: [long] })).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
  });

  test('a caller that goes away leaves the engine as it was', async () => {
    const messages = [{ role: 'user', content: 'Tell me a story about a fox.' }] as const;
    for (let round = 0; round < 8; round += 1) {
      const stream = await client.chat.completions.create({ model, messages: [...messages], stream: true });
      for await (const _chunk of stream) break;
      stream.controller.abort();
    }
    expect(contentOf(await create({}))).toBe('The capital of France is Paris.');
  });

  test('SIGTERM lets an answer in progress end, and then ends the process', async () => {
    const engine = await start();
    const exited = once(engine.process, 'exit');
    const stream = await engine.client.chat.completions.create({
      model,
      temperature: 0,
      stream: true,
      messages: [{ role: 'user', content: 'Tell me a story about a fox.' }],
    });
    let last: string | null | undefined;
    let asked = false;
    for await (const chunk of stream) {
      if (!asked) asked = engine.process.kill('SIGTERM');
      last = chunk.choices[0]?.finish_reason;
    }
    expect(last).toBe('stop');
    expect(await exited).toEqual([0, null]);
  });

  test.each([
    ['its stdin', (child: ChildProcess): void => void child.stdin?.end(), 'pipe'],
    ['its channel', (child: ChildProcess): void => child.disconnect(), 'ignore'],
  ] as const)('the process that started it is gone when %s ends, and so is the engine', async (_what, leave, stdin) => {
    const engine = await start(stdin);
    const exited = once(engine.process, 'exit');
    leave(engine.process);
    expect(await exited).toEqual([0, null]);
  });
});
