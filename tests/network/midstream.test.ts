/**
 * A stream that goes on when its machine dies: two real engines with the real model, each behind a real agent, and a
 * kill -9 in the middle of an answer. At temperature 0 the text is that of an answer which nothing disturbed.
 */
import { verifyReceipt } from '@subcloud/kit/receipts';
import { eventually } from '@subcloud/testkit/eventually';
import { type RealEngine, hasDemoEngine, joinEngine, startDemoEngine } from '@subcloud/testkit/real-engine';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import OpenAI from 'openai';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';

interface RealNode {
  readonly engine: RealEngine;
  readonly id: string;
}

async function realNode(network: TestNetwork, name: string): Promise<RealNode> {
  const engine = await startDemoEngine();
  onTestFinished(() => engine[Symbol.asyncDispose]());
  const agent = await joinEngine(network, engine.url, name);
  onTestFinished(() => agent.stop());
  return { engine, id: agent.nodeId };
}

const model = 'subcloud-demo';
const ask = {
  model,
  temperature: 0,
  max_tokens: 400,
  messages: [{ role: 'user' as const, content: 'Tell me a story about a fox.' }],
};

test.runIf(hasDemoEngine)(
  'kill -9 of an engine in the middle of an answer: the other one goes on, with the same words',
  async () => {
    const dispatched: string[] = [];
    await using network = await startTestNetwork({ observe: { onDispatch: ({ node }) => void dispatched.push(node) } });
    await network.admin.call('applyNetwork', {
      body: {
        manifest: JSON.stringify({
          apiVersion: 'subcloud/v1',
          kind: 'Network',
          spec: { routing: { midstream: 'continue' } },
        }),
      },
    });
    const database = new pg.Client({ connectionString: network.databaseUrl });
    await database.connect();
    await using _database = { [Symbol.asyncDispose]: () => database.end() };
    const nodes = [await realNode(network, 'one'), await realNode(network, 'two')];
    const openai = new OpenAI({ baseURL: `${network.url}/v1`, apiKey: network.apiKey, maxRetries: 0 });
    await eventually('both serve', async () => {
      const states = await Promise.all(
        nodes.map(({ id }) => network.admin.call('explainNode', { params: { name: 'global', node: id } })),
      );
      return states.every(({ serving }) => serving);
    });
    const undisturbed = (await openai.chat.completions.create(ask)).choices[0]?.message.content ?? '';
    expect(undisturbed.length).toBeGreaterThan(100);

    dispatched.length = 0;
    const { data: stream, response } = await openai.chat.completions
      .create({ ...ask, stream: true, stream_options: { include_usage: true } })
      .withResponse();
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    const finishes: string[] = [];
    const ids = new Set<string>();
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      ids.add(chunk.id);
      usage = chunk.usage ?? usage;
      const finish = chunk.choices[0]?.finish_reason;
      if (finish !== null && finish !== undefined) finishes.push(finish);
      if (text.length > 20) nodes.find(({ id }) => id === dispatched[0])?.engine.process.kill('SIGKILL');
    }
    expect(text).toBe(undisturbed);
    expect([finishes, ids.size]).toEqual([['stop'], 1]);
    expect(dispatched).toHaveLength(2);
    expect(new Set(dispatched).size).toBe(2);
    expect(usage?.completion_tokens).toBeGreaterThan(20);
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));

    const id = response.headers.get('x-request-id') ?? '';
    const record = await eventually('the record has come', () =>
      network.admin.call('getRequest', { params: { id } }).catch(() => undefined),
    );
    expect(record.attempts.map(({ node, outcome }) => [node, outcome])).toEqual([
      [dispatched[0], 'interrupted'],
      [dispatched[1], 'answered'],
    ]);
    expect(record.attempts[1]?.continuesAfterBytes).toBeGreaterThan(20);
    const receipt = await eventually('both nodes have signed', async () => {
      const found = await network.admin.call('getReceipt', { params: { id } }).catch(() => undefined);
      return found?.serving !== null && found?.earlier?.length === 1 ? found : undefined;
    });
    const { faults, routing, earlier } = verifyReceipt(receipt, network.control.fingerprint);
    expect([faults, earlier[0]?.broken, routing.parts?.length]).toEqual([[], true, 2]);
    expect(routing.parts?.reduce((sum, part) => sum + part.textBytes, 0)).toBe(Buffer.byteLength(text));
    const rows = await eventually('its usage has come', async () => {
      const found = await database.query<{ node_id: string; continued_from: string[] | null }>(
        'select node_id, continued_from from usage where request_id = $1',
        [id],
      );
      return found.rows.length === 0 ? undefined : found.rows;
    });
    expect(rows).toEqual([{ node_id: dispatched[1], continued_from: [dispatched[0]] }]);
  },
  120_000,
);
