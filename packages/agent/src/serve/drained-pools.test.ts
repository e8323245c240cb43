import type { ServerResponse } from 'node:http';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { type DocumentWish, type PeerLink, startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { expect, test } from 'vitest';

const SERVES: DocumentWish = {
  memberships: [
    { pool: 'global', models: ['m'] },
    { pool: 'lab', models: ['m'] },
  ],
};

const drained = (link: PeerLink) => link.messages.filter(({ type }) => type === 'drained');

test('a pool that the document drains takes nothing new, finishes what it has, and is said to be drained after the last answer', async () => {
  const waiting: ServerResponse[] = [];
  await using engine = await startScriptedEngine({
    models: ['m'],
    behaviour: { kind: 'custom', answer: (_request, response) => void waiting.push(response) },
  });
  await using gateway = await startPeerGateway({ wish: SERVES });
  const config = { engines: [{ url: engine.url }], consent: { autoJoin: 'all' } };
  await using _agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, config });
  const link = await gateway.link();
  const answers: ReturnType<PeerLink['ask']>[] = [];
  for (const pool of ['lab', 'lab', 'global']) {
    answers.push(link.ask({ pool }));
    await eventually('it is under way', () => waiting.length === answers.length);
  }

  const wish = { memberships: [{ pool: 'global', models: ['m'] }], draining: ['lab'], serial: 100 };
  link.send({ type: 'document', document: gateway.network.nodeDocument(link.nodeId, link.publicKey, wish) });
  await link.message((message) => message.type === 'document-acknowledged' && message.serial === 100);
  expect((await link.ask({ pool: 'lab' })).status).toBe(421);
  expect(drained(link)).toEqual([]);

  const finish = (response: ServerResponse | undefined): void => {
    response?.writeHead(200, { 'content-type': 'application/json' });
    response?.end('{"model":"m"}');
  };
  finish(waiting[0]);
  expect((await answers[0])?.status).toBe(200);
  expect(drained(link)).toEqual([]);
  finish(waiting[1]);
  const said = await link.message(({ type }) => type === 'drained');
  expect(said).toMatchObject({ pools: ['lab'], serial: 100 });
  expect((await answers[1])?.status).toBe(200);
  finish(waiting[2]);
  expect((await answers[2])?.status).toBe(200);
});

test('with nothing in flight it is said at once, and again of each further document', async () => {
  await using engine = await startScriptedEngine({ models: ['m'] });
  await using gateway = await startPeerGateway({ wish: SERVES });
  const config = { engines: [{ url: engine.url }] };
  await using _agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, config });
  const link = await gateway.link();
  for (const serial of [100, 101]) {
    const wish = { memberships: [], draining: ['lab', 'global'], serial };
    link.send({ type: 'document', document: gateway.network.nodeDocument(link.nodeId, link.publicKey, wish) });
    const said = await link.message((message) => message.type === 'drained' && message.serial === serial);
    expect(said).toMatchObject({ pools: ['lab', 'global'] });
  }
});
