/** An operator takes a node out of service: no answer is cut, nothing new goes there, and nothing else changes. */
import type { ServerResponse } from 'node:http';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CommandLine, commandLine } from './run-command.ts';

let network: TestNetwork;
let first: TestNode;
let second: TestNode;
let operator: string;
let own: CommandLine;

beforeAll(async () => {
  network = await startTestNetwork();
  operator = await network.principal('org:acme');
  own = commandLine(network, operator);
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'island', owner: 'user:admin' },
    spec: { participation: { mode: 'open', autoJoin: true }, isolation: 'isolate', access: { tokens: true } },
  });
  const consent = { autoJoin: 'all', isolation: 'isolate' };
  first = await network.node({ name: 'first', operator: 'org:acme', consent });
  second = await network.node({ name: 'second', consent });
  for (const node of [first, second]) await network.serving('island', node);
});
afterAll(() => network[Symbol.asyncDispose]());

const token = async (): Promise<string> =>
  (await network.admin.call('createToken', { params: { name: 'island' }, body: {} })).token;

function chat(key: string, stream = false): Promise<Response> {
  return fetch(`${network.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', stream, messages: [{ role: 'user', content: 'hello' }] }),
  });
}

/** Engines answer when they are told to. */
async function holdAnswers(node: TestNode): Promise<{ readonly held: number; release(): Promise<void> }> {
  const open: ServerResponse[] = [];
  await node.engine.set({
    kind: 'custom',
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"index":0,"delta":{"content":"one "}}]}\n\n');
      open.push(response);
    },
  });
  return {
    get held() {
      return open.length;
    },
    async release() {
      for (const response of open) {
        response.write('data: {"choices":[{"index":0,"delta":{"content":"two"},"finish_reason":"stop"}]}\n\n');
        response.end('data: [DONE]\n\n');
      }
      await node.engine.set({ kind: 'ok' });
    },
  };
}

const members = async () =>
  (await network.admin.call('listMembers', { params: { name: 'island' } })).items.map(
    ({ nodeName, state, serving, draining }) => ({ nodeName, state, serving, isDraining: draining !== undefined }),
  );

test('the answer in flight finishes, nothing new comes, and --wait says when nothing is in flight', async () => {
  const key = await token();
  await own.json('node', 'drain', 'first');
  await network.admin.call('drainNode', { params: { id: second.id }, body: {} });
  // Both are out: whoever calls is told why, and nobody is taken instead.
  const refused = await chat(await token());
  expect(refused.status).toBe(503);
  const { error } = (await refused.json()) as { error: { code: string; message: string } };
  expect(error).toMatchObject({
    code: 'routing.no_eligible_node',
    message: expect.stringContaining('0 of 2 nodes eligible'),
  });
  const id = refused.headers.get('x-request-id') ?? '';
  const explained = await eventually('the record has come', () => network.admin.call('getRequest', { params: { id } }));
  expect(explained.notTaken).toMatchObject({ draining: 2 });
  expect(explained.nodes?.map(({ part, reason }) => [part, reason])).toEqual([
    ['excluded', 'draining'],
    ['excluded', 'draining'],
  ]);
  await own.json('node', 'undrain', 'first');

  const held = await holdAnswers(first);
  const answers = Promise.all([chat(key, true), chat(key, true)]);
  await eventually('two answers are in flight', () => held.held === 2);
  const waiting = own('node', 'drain', 'first', '--reason', 'new disks', '--wait');
  await eventually('they are counted', async () => {
    const { draining } = await network.admin.call('getNode', { params: { id: first.id } });
    return draining?.inFlight === 2 && draining.state === 'draining';
  });
  await network.admin.call('undrainNode', { params: { id: second.id } });
  const before = first.engine.requests.length;
  const others = await Promise.all(Array.from({ length: 30 }, () => chat(key)));
  expect(others.map(({ status }) => status)).toEqual(Array.from({ length: 30 }, () => 200));
  expect(first.engine.requests.length).toBe(before);
  await held.release();
  for (const answer of await answers) expect(await answer.text()).toMatch(/one [\s\S]*two[\s\S]*\[DONE\]/);
  const ran = await waiting;
  expect(ran, ran.stderr).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('out of service, and nothing is in flight there'),
    // It looks every half second: how many it was told of meanwhile is chance.
    stderr: expect.stringContaining('in flight'),
  });
}, 60_000);

test('it stays a member that isolation holds, over restarts of control, agent and gateway link', async () => {
  const key = await token();
  const state = { nodeName: 'first', state: 'active', serving: false, isDraining: true };
  expect(await members()).toContainEqual(state);
  const seen = async () => {
    const { draining } = await network.admin.call('getNode', { params: { id: first.id } });
    return draining;
  };
  const since = (await seen())?.since;
  await network.restartControl();
  await eventually('control serves again', async () => (await seen())?.since === since);
  await first.stop();
  await first.start();
  await eventually('the agent is back', async () => {
    network.clock.advance(1_000);
    const { online } = await network.admin.call('getNode', { params: { id: first.id } });
    return online;
  });
  expect(await members()).toContainEqual(state);
  expect(await network.admin.call('explainNode', { params: { name: 'island', node: first.id } })).toMatchObject({
    eligible: true,
    state: 'active',
    serving: false,
    draining: { since },
  });
  const elsewhere = await network.admin.call('explainNode', { params: { name: 'global', node: first.id } });
  expect(elsewhere).toMatchObject({ state: null, reason: 'isolation' });
  await eventually('what is in flight is known anew', async () => {
    network.clock.advance(1_000);
    return (await seen())?.state === 'drained';
  });
  const before = first.engine.requests.length;
  for (let round = 0; round < 20; round += 1) expect((await chat(key)).status).toBe(200);
  expect(first.engine.requests.length).toBe(before);

  expect(await own.json('node', 'undrain', 'first')).toEqual({ node: first.id, change: 'undrained' });
  await eventually('it serves again', async () => {
    await chat(key);
    return first.engine.requests.length > before;
  });
}, 60_000);

test('the operator and the admin may, nobody else; twice is once; both stand in the audit log and the events', async () => {
  const stranger = network.client(await network.principal('user:stranger'));
  const owner = network.client(network.apiKey);
  for (const route of ['drainNode', 'undrainNode'] as const) {
    const input = { params: { id: first.id }, body: {} };
    await expect(stranger.call(route, input)).rejects.toMatchObject({ code: 'client.not_found' });
    await expect(owner.call(route, input)).rejects.toThrow();
  }
  const one = await own.json<{ draining: { since: string } }>('node', 'drain', first.id, '--reason', 'a');
  const two = await own.json<{ draining: { since: string } }>('node', 'drain', first.id, '--reason', 'b');
  const { since } = one.draining;
  expect(two.draining).toMatchObject({ since, by: 'org:acme', reason: 'a' });
  expect((await own('node', 'get', 'first')).stdout).toContain('out of service');
  expect((await own('explain', 'island', 'first')).stdout).toContain('draining: by its operator');
  await own.json('node', 'undrain', 'first');
  expect(await own.json('node', 'undrain', 'first')).toMatchObject({ change: 'unchanged' });
  const { items } = await network.client(operator).call('listEvents', { query: {} });
  expect(items.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['node.drained', 'node.undrained']));
  const audited = await network.admin.call('listAudit', { query: { subject: `node:${first.id}` } });
  expect(audited.items.map(({ action }) => action)).toEqual(expect.arrayContaining(['node.drain', 'node.undrain']));
}, 60_000);

test('who waits and sees the end of its patience, or the node put back, is told so', async () => {
  const key = await token();
  await network.admin.call('drainNode', { params: { id: second.id }, body: {} });
  const held = await holdAnswers(first);
  const answer = chat(key, true);
  await eventually('it is in flight', () => held.held === 1);
  const impatient = await own('node', 'drain', 'first', '--wait', '--timeout', '1s');
  expect(impatient).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('upstream.drain_timeout') });
  const drains = async (): Promise<number> => {
    const { items } = await network.admin.call('listAudit', { query: { subject: `node:${first.id}`, limit: 1_000 } });
    return items.filter(({ action }) => action === 'node.drain').length;
  };
  const before = await drains();
  const waiting = own('node', 'drain', 'first', '--wait');
  await eventually('it waits', async () => (await drains()) > before);
  await own.json('node', 'undrain', 'first');
  expect(await waiting).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('client.undrained') });
  await held.release();
  expect((await answer).status).toBe(200);
}, 60_000);
