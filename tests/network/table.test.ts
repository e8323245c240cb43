/**
 * The main job, whole: six nodes in four countries, three pools, the official client, and nodes that change under it.
 * Every answer must come from a node that was a member of the pool in the table version that the request carried.
 * Engines and agents keep their own records; a witness keeps the table. The test only compares.
 */
import OpenAI from 'openai';
import { expect, test } from 'vitest';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { eventually } from '@subcloud/testkit/eventually';
import { observeTable } from './table-observer.ts';

const REQUESTS = 2_000;
const CALLERS = 8;
const MODEL = 'test-model';
const CONSENT = { autoJoin: 'all', isolation: 'isolate', join: [{ name: 'team-private', isolation: 'isolate' }] };

interface Answer {
  readonly pool: string;
  readonly requestId: string;
  readonly mark: string;
  readonly text: string;
}

const manifest = (name: string, spec: object): object => ({
  apiVersion: 'subcloud/v1',
  kind: 'Subcloud',
  metadata: { name, owner: 'user:admin' },
  spec,
});

test('every answer came from a node that was a member of the pool in the table version that the request carried', async () => {
  await using network = await startTestNetwork();
  using witness = await observeTable(network.dataDir);
  await network.apply(
    manifest('eu-only', {
      nodes: { location: { in: ['EU'] } },
      participation: { mode: 'open', autoJoin: true },
      isolation: 'isolate',
    }),
  );
  await network.apply(manifest('team-private', { participation: { mode: 'private' }, access: { tokens: true } }));
  const { token } = await network.admin.call('createToken', { params: { name: 'team-private' }, body: {} });

  const nodes = await Promise.all(
    ['127.0.1.1', '127.0.2.1', '127.0.5.1', '127.0.3.1', '127.0.3.2', '127.0.4.1'].map((address, index) =>
      network.node({
        name: `node-${index}`,
        address,
        models: [MODEL],
        consent: CONSENT,
        operator: index === 5 ? 'org:acme' : 'user:admin',
      }),
    ),
  );
  const [berlin, paris, budapest, austin, boston, singapore] = nodes as [
    TestNode,
    TestNode,
    TestNode,
    TestNode,
    TestNode,
    TestNode,
  ];
  for (const node of [berlin, paris, budapest]) await network.serving('eu-only', node);
  for (const node of [austin, boston, singapore]) await network.serving('global', node);
  for (const node of [boston, singapore])
    await network.admin.call('inviteMember', { params: { name: 'team-private' }, body: { node: node.id } });
  for (const node of [boston, singapore]) await network.serving('team-private', node);

  const clients = poolClients(network, token);
  const answers: Answer[] = [];
  const refusals = new Map<string, number>();
  let started = 0;
  let failure: unknown;
  const caller = async (seed: number): Promise<void> => {
    for (let turn = seed; started < REQUESTS && failure === undefined; turn++) {
      const number = started++;
      const client = clients[turn % clients.length];
      if (client === undefined) throw new Error('no client');
      try {
        answers.push(await ask(client, `mark-${number}`, turn % 3 === 0));
      } catch (error) {
        if (!(error instanceof OpenAI.APIError) || error.status !== 503) {
          failure = error;
          return;
        }
        refusals.set(
          `${client.pool} ${String(error.code)}`,
          (refusals.get(`${client.pool} ${String(error.code)}`) ?? 0) + 1,
        );
      }
    }
  };
  const callers = Promise.all(Array.from({ length: CALLERS }, (_, seed) => caller(seed)));
  const done = (share: number) =>
    eventually(`${share * 100} % of the requests`, () => failure !== undefined || started >= REQUESTS * share, 90_000);

  await done(0.1);
  await berlin.stop();
  await berlin.start('127.0.3.9');
  await done(0.25);
  await austin.stop();
  await austin.start('127.0.1.7');
  budapest.agent()?.update({ labels: { rack: 'r1' } });
  await done(0.4);
  await network.admin.call('removeMember', { params: { name: 'team-private', node: boston.id } });
  paris.engine.setModels(['another-model']);
  await done(0.55);
  await network.admin.call('inviteMember', { params: { name: 'team-private' }, body: { node: boston.id } });
  singapore
    .agent()
    ?.update({ consent: { global: false, autoJoin: 'none', isolation: 'shared', join: ['team-private'] } });
  await done(0.7);
  paris.engine.setModels([MODEL]);
  await network.admin.call('removeNode', { params: { id: austin.id } });
  await berlin.stop();
  await berlin.start('127.0.1.1');
  await done(0.85);
  singapore
    .agent()
    ?.update({ consent: { global: true, autoJoin: 'none', isolation: 'shared', join: ['team-private'] } });
  await callers;
  if (failure !== undefined) throw failure;

  expect(answers.length + [...refusals.values()].reduce((sum, count) => sum + count, 0)).toBe(REQUESTS);
  // Refusals are possible while a pool is empty; a test that only refuses would prove nothing.
  expect(answers.length).toBeGreaterThan(REQUESTS * 0.9);
  const perPool = new Map<string, Set<string>>();
  for (const answer of answers)
    perPool.set(answer.pool, (perPool.get(answer.pool) ?? new Set()).add(compare(answer, nodes, witness)));
  // Every pool was served, and by several nodes: the comparison covered what moved.
  for (const pool of ['global', 'eu-only', 'team-private'])
    expect(perPool.get(pool)?.size ?? 0, pool).toBeGreaterThan(1);
}, 180_000);

/** The node that served, after checking that agent, engine, answer and table agree about it. */
function compare(
  answer: Answer,
  nodes: readonly TestNode[],
  witness: { members(version: number): ReadonlySet<string> | undefined },
): string {
  const servers = nodes.filter((node) =>
    node.served.some(({ requestId, accepted }) => requestId === answer.requestId && accepted),
  );
  const engines = nodes.filter((node) =>
    node.engine.requests.some(({ requestId, outcome }) => requestId === answer.mark && outcome === 'answered'),
  );
  // A request that was retried stands with two agents; the answer names the engine that it came from.
  const server = servers.find((node) => answer.text.includes(node.name));
  if (server === undefined) throw new Error(`no agent says that it served ${answer.requestId} for ${answer.pool}`);
  expect(engines, `${answer.mark} was answered by another engine than its agent says`).toContain(server);
  for (const node of servers) {
    for (const record of node.served.filter(({ requestId, accepted }) => requestId === answer.requestId && accepted)) {
      expect(record.pool).toBe(answer.pool);
      const members = witness.members(record.tableVersion);
      expect(members, `table version ${record.tableVersion} was never published`).toBeDefined();
      expect(
        members?.has(`${record.pool}/${node.id}`),
        `${node.name} served ${record.pool} by table ${record.tableVersion}, which does not have it`,
      ).toBe(true);
    }
  }
  return server.id;
}

type PoolClient = { readonly pool: string; readonly openai: OpenAI };

/** Pools by path, by header, by token and by default. */
function poolClients(network: TestNetwork, token: string): PoolClient[] {
  const make = (pool: string, apiKey: string, path: string, headers: Record<string, string> = {}): PoolClient => ({
    pool,
    openai: new OpenAI({ apiKey, baseURL: `${network.url}${path}`, maxRetries: 0, defaultHeaders: headers }),
  });
  return [
    make('global', network.apiKey, '/v1'),
    make('eu-only', network.apiKey, '/s/eu-only/v1'),
    make('team-private', token, '/v1'),
    make('eu-only', network.apiKey, '/v1', { 'x-subcloud': 'eu-only' }),
    make('team-private', token, '/s/team-private/v1'),
  ];
}

async function ask({ pool, openai }: PoolClient, mark: string, stream: boolean): Promise<Answer> {
  const body = { model: MODEL, user: mark, messages: [{ role: 'user' as const, content: 'Where are you?' }] };
  if (!stream) {
    const { data, response } = await openai.chat.completions.create(body).withResponse();
    return {
      pool,
      mark,
      requestId: response.headers.get('x-request-id') ?? '',
      text: data.choices[0]?.message.content ?? '',
    };
  }
  const { data, response } = await openai.chat.completions.create({ ...body, stream: true }).withResponse();
  let text = '';
  for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? '';
  return { pool, mark, requestId: response.headers.get('x-request-id') ?? '', text };
}
