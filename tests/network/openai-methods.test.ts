/** The official client, every method that is served, against a real model behind the whole network. */
import { eventually } from '@subcloud/testkit/eventually';
import { hasDemoEngine, joinEngine, startDemoEngine } from '@subcloud/testkit/real-engine';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import OpenAI, { APIError } from 'openai';
import pg from 'pg';
import { expect, test } from 'vitest';

const client = ({ url, apiKey }: TestNetwork): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });

test.runIf(hasDemoEngine)(
  'chat, completions, embeddings and models, streamed and not, and all of it counted',
  async () => {
    await using network = await startTestNetwork();
    await using engine = await startDemoEngine();
    await using _node = await joinEngine(network, engine.url, 'real');
    const openai = client(network);
    await eventually('the models are offered', async () => (await openai.models.list()).data.length === 2, 30_000);
    expect((await openai.models.list()).data.map(({ id }) => id).sort()).toEqual([
      'subcloud-demo',
      'subcloud-demo-embedding',
    ]);

    const model = 'subcloud-demo';
    const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
    let used = 0;
    const add = (usage: { total_tokens: number } | null | undefined): void => void (used += usage?.total_tokens ?? 0);

    const chat = await openai.chat.completions.create({
      model,
      messages,
      temperature: 0,
      logprobs: true,
      top_logprobs: 2,
    });
    add(chat.usage);
    expect(chat.choices[0]?.message.content).toBe('The capital of France is Paris.');
    expect(chat.choices[0]?.logprobs?.content?.[0]?.top_logprobs).toHaveLength(2);
    const stream = openai.chat.completions.stream({
      model,
      messages,
      temperature: 0,
      stream_options: { include_usage: true },
    });
    const streamed = await stream.finalChatCompletion();
    add(streamed.usage);
    expect(streamed.choices[0]?.message.content).toBe('The capital of France is Paris.');

    const prompt = { model, prompt: 'The capital of', temperature: 0, max_tokens: 8, stop: ['\n'] };
    const completion = await openai.completions.create(prompt);
    add(completion.usage);
    let text = '';
    const pieces = await openai.completions.create({
      ...prompt,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const { choices, usage } of pieces) {
      text += choices[0]?.text ?? '';
      add(usage);
    }
    expect(text).toBe(completion.choices[0]?.text);
    expect(text).not.toBe('');

    const embedding = 'subcloud-demo-embedding';
    const input = ['The capital of France is Paris.', 'Paris is a city in France.', 'I like bananas.'];
    const { data, usage } = await openai.embeddings.create({ model: embedding, input });
    add(usage);
    const [france = [], paris = [], bananas = []] = data.map(({ embedding: vector }) => vector);
    expect(france).toHaveLength(512);
    expect(dot(france, paris)).toBeGreaterThan(dot(france, bananas) + 0.3);

    // What an engine cannot do is said, with whose fault it is.
    await expect(openai.embeddings.create({ model, input })).rejects.toMatchObject({
      status: 400,
      code: 'client.unsupported_operation',
    });
    await expect(
      openai.chat.completions.create({ model, messages, tools: [{ type: 'function', function: { name: 'f' } }] }),
    ).rejects.toMatchObject({ status: 400, param: 'tools' });
    const aborted = new AbortController();
    const cut = openai.chat.completions.create(
      { model, messages: [{ role: 'user', content: 'Tell me a story about a fox.' }], stream: true },
      { signal: aborted.signal },
    );
    let got = 0;
    await (async () => {
      for await (const _ of await cut) if ((got += 1) === 3) aborted.abort();
    })().catch(() => undefined);
    expect(got).toBe(3);

    // Five answers ended whole; the sixth was cut by its caller, and is estimated.
    await using database = await connect(network.databaseUrl);
    const rows = await eventually('usage has arrived', async () => {
      const found = await database.client.query<{ status: number; tokens: number }>(
        'select status, prompt_tokens + completion_tokens as tokens from usage',
      );
      return found.rows.length === 6 ? found.rows : undefined;
    });
    const whole = rows.filter(({ status }) => status === 200);
    expect(whole).toHaveLength(5);
    expect(whole.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(used);
  },
  120_000,
);

test('an engine that has chat alone: other paths are a 400 that says so, and an unknown path is none of ours', async () => {
  await using network = await startTestNetwork();
  const node = await network.node({ name: 'chat-only', models: ['m'] });
  await network.serving('global', node);
  const openai = client(network);
  for (const call of [
    () => openai.completions.create({ model: 'm', prompt: 'x' }),
    () => openai.embeddings.create({ model: 'm', input: 'x' }),
  ]) {
    const error = await call().then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ status: 400, code: 'client.unsupported_operation', param: 'model' });
  }
  await expect(openai.moderations.create({ input: 'x' })).rejects.toMatchObject({ status: 404 });
  expect(node.served.filter(({ accepted }) => accepted)).toHaveLength(2);
});

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
}

async function connect(connectionString: string): Promise<AsyncDisposable & { client: pg.Client }> {
  const opened = new pg.Client({ connectionString });
  await opened.connect();
  return { client: opened, [Symbol.asyncDispose]: () => opened.end() };
}
