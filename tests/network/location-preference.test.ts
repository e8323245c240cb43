/** A request that narrows itself to places, over the whole network: by what was measured, and never by what an agent says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from './run-command.ts';

let network: TestNetwork;
const nodes = new Map<string, TestNode>();
beforeAll(async () => {
  network = await startTestNetwork();
  for (const [name, address] of [
    ['berlin', '127.0.1.5'],
    ['paris', '127.0.2.5'],
    ['america', '127.0.3.5'],
    ['nowhere', '127.0.0.1'],
  ] as const) {
    const node = await network.node({ name, address });
    nodes.set(name, node);
    await network.serving('global', node);
  }
});
afterAll(() => network[Symbol.asyncDispose]());

async function ask(location: unknown): Promise<{ status: number; text: string }> {
  const response = await fetch(`${network.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'test-model',
      messages: [{ role: 'user', content: 'hello' }],
      ...(location === undefined ? {} : { subcloud: { location } }),
    }),
  });
  return { status: response.status, text: await response.text() };
}

/** Names of the nodes that served ten requests, of those that may the ones that were fastest; each must have been served. */
async function servedBy(location: unknown): Promise<string[]> {
  const before = new Map([...nodes].map(([name, { engine }]) => [name, engine.requests.length]));
  for (let round = 0; round < 10; round += 1) expect((await ask(location)).status).toBe(200);
  return [...nodes]
    .filter(([name, { engine }]) => engine.requests.length > (before.get(name) ?? 0))
    .map(([name]) => name);
}

test('it goes where it may, and a node of which no place is known serves for none', async () => {
  expect(['berlin', 'paris']).toEqual(expect.arrayContaining(await servedBy({ in: ['EU'] })));
  expect(await servedBy({ in: ['EU'], notIn: ['DE-BE'] })).toEqual(['paris']);
  expect(await servedBy({ notIn: ['EU'] })).toEqual(['america']);
  expect(await servedBy({ in: ['DE'] })).toEqual(['berlin']);
  expect((await ask(undefined)).status).toBe(200);
  for (const { engine } of nodes.values())
    for (const { body } of engine.requests) expect(JSON.stringify(body)).not.toContain('subcloud');
}, 60_000);

test('where nobody is there it is refused with the reasons counted; what is no place is refused by name', async () => {
  const refused = await ask({ in: ['SG'] });
  expect(refused.status).toBe(503);
  expect(refused.text).toContain('routing.no_eligible_node');
  const wrong = await ask({ in: ['Germany'] });
  expect(wrong.status).toBe(400);
  expect(wrong.text).toContain('Did you mean DE?');
  expect((await ask({})).status).toBe(400);
  expect((await ask(['EU'])).status).toBe(400);
}, 60_000);

test('a place that is contradicted is neither the one nor the other, until the contradiction is gone', async () => {
  const { adminToken } = JSON.parse(readFileSync(join(network.dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
  };
  const admin = commandLine(network, adminToken);
  const paris = nodes.get('paris');
  const { claim } = await admin.json<{ claim: { id: string } }>('node', 'attest', paris?.id ?? '', 'location', 'US');
  await eventually('it is in France no more', async () => (await ask({ in: ['FR'] })).status === 503);
  expect(await servedBy({ in: ['EU'] })).toEqual(['berlin']);
  expect(await servedBy({ in: ['US'] })).toEqual(['america']);
  expect(await servedBy({ in: ['EU'], notIn: ['US'] })).toEqual(['berlin']);
  expect((await ask({ in: ['FR'] })).status).toBe(503);
  await admin.json('claim', 'revoke', claim.id);
  await eventually('it is back', async () => (await ask({ in: ['FR'] })).status === 200);
}, 60_000);
