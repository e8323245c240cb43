import type { Consent } from '@subcloud/contract/vocabulary';
import { LINK_HEADERS } from '@subcloud/contract/link';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestAgent, startTestAgent } from '@subcloud/testkit/peer-agent';
import { type PeerGateway, type PeerLink, startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { type EngineBehaviour, type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { constants } from 'node:http2';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

const CONSENT: Consent = { global: true, autoJoin: 'all', isolation: 'shared', join: [] };
const MEMBERSHIPS = [
  { pool: 'global', models: ['m', 'mapped/model'] },
  { pool: 'eu-only', models: ['m'] },
  { pool: 'isolated', models: ['m'], isolation: 'isolate' as const },
];

let engine: ScriptedEngine;
let gateway: PeerGateway;
let agent: TestAgent;
let link: PeerLink;
const clock = controllableClock();

beforeAll(async () => {
  engine = await startScriptedEngine({ models: ['m', 'engine:name'], apiKey: 'engine-secret', clock });
  gateway = await startPeerGateway({ clock, wish: { memberships: MEMBERSHIPS, tableVersion: 7 } });
  agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    clock,
    config: {
      engines: [{ url: engine.url, apiKey: 'engine-secret', models: { 'engine:name': 'mapped/model' } }],
      consent: CONSENT,
    },
  });
  link = await gateway.link();
});
beforeEach(async () => {
  agent.update({ consent: CONSENT, concurrency: null });
  await play({ kind: 'ok' });
  link = await gateway.link();
  await eventually('the models are there', () => agent.models().length === 2);
});
afterAll(async () => {
  await agent.stop();
  await gateway.close();
  await engine.close();
  clock[Symbol.dispose]();
});

async function play(behaviour: EngineBehaviour): Promise<void> {
  await engine.set(behaviour);
}

/** What the engine got while `work` ran. */
async function reachedEngine(work: () => Promise<unknown>): Promise<number> {
  const before = engine.requests.length;
  await work();
  return engine.requests.length - before;
}

test('a pool that is not in the document is refused with 421 and the position of the document, whatever the label says', async () => {
  const reached = await reachedEngine(async () => {
    const answer = await link.ask({ pool: 'somebody-elses' });
    expect(answer.status).toBe(421);
    const { epoch, serial } = agent.documentPosition();
    expect(answer.headers[LINK_HEADERS.document]).toBe(`${epoch}.${serial}.7`);
  });
  expect(reached).toBe(0);
  expect(agent.served.at(-1)).toMatchObject({ pool: 'somebody-elses', accepted: false, reason: 'lock' });
});

test('a model that the document does not give to the pool is refused, although another pool has it', async () => {
  const ask = () => link.ask({ pool: 'eu-only', model: 'mapped/model' });
  expect(await reachedEngine(async () => expect((await ask()).status).toBe(421))).toBe(0);
  expect((await link.ask({ pool: 'global', model: 'mapped/model' })).status).toBe(200);
});

test.for([
  ['another model than its label', { model: 'other' }, 421],
  ['its model twice', '{"model":"m","model":"other"}', 400],
  ['its model twice, the second escaped', '{"model":"m","\\u006dodel":"other"}', 400],
  ['its model in capitals beside it', '{"model":"m","MODEL":"other"}', 400],
  ['its model in mixed case', '{"Model":"m"}', 400],
  ['no model', { messages: [] }, 400],
  ['a model that is no string', { model: ['m'] }, 400],
  ['an array for a body', '[{"model":"m"}]', 400],
  ['two values for a body', '{"model":"m"}{"model":"other"}', 400],
  ['no JSON', 'model=m', 400],
  ['nothing', '', 400],
] as const)('a body with %s never reaches the engine', async ([, body, status]) => {
  expect(await reachedEngine(async () => expect((await link.ask({ body })).status).toBe(status))).toBe(0);
});

test.for([
  '/v1/models',
  '/v1/chat/completions?admin=1',
  '/v1/chat/completions/',
  '/v1//chat/completions',
  '/v1/chat/../../api/delete',
  '/v1/chat/%2e%2e/%2e%2e/api/delete',
  '/v1/chat%2fcompletions',
  '//v1/chat/completions',
  '/V1/chat/completions',
  '/api/delete',
  '/admin',
  '/metrics',
])('the path %s never reaches the engine', async (path) => {
  expect(await reachedEngine(async () => expect((await link.ask({ path })).status).toBe(404))).toBe(0);
});

test('only POST is passed on', async () => {
  for (const method of ['DELETE', 'PUT', 'PATCH']) {
    expect(await reachedEngine(async () => expect((await link.ask({ method })).status).toBe(405))).toBe(0);
  }
});

test('of a request, an engine sees the body, its type and its own key, and nothing of the caller', async () => {
  await link.ask({
    headers: {
      accept: 'text/event-stream',
      authorization: 'Bearer callers-secret',
      cookie: 'session=1',
      'x-forwarded-for': '198.51.100.1',
      forwarded: 'for=198.51.100.1',
      'x-api-key': 'callers-secret',
      'accept-encoding': 'gzip',
    },
  });
  const seen = engine.requests.at(-1)?.headers ?? {};
  expect(Object.keys(seen).sort()).toEqual(
    ['accept', 'authorization', 'connection', 'content-length', 'content-type', 'host'].sort(),
  );
  expect(seen['authorization']).toBe('Bearer engine-secret');
  expect(JSON.stringify(seen)).not.toContain('callers');
});

test("of an answer, a caller's side sees type and length, and none of the engine's other headers", async () => {
  const headers = {
    'set-cookie': ['a=1', 'b=2'],
    location: 'http://127.0.0.1/admin',
    server: 'engine',
    'access-control-allow-origin': '*',
    'x-internal': '1',
  };
  await play({ kind: 'ok', headers });
  const answer = await link.ask({});
  expect(answer.status).toBe(200);
  const names = Object.keys(answer.headers).filter((name) => name !== ':status' && name !== 'date');
  expect(names.sort()).toEqual(['content-length', 'content-type']);
});

test('a redirect of an engine is neither followed nor passed on', async () => {
  await play({ kind: 'status', status: 307, headers: { location: `${engine.url}/admin` } });
  const reached = await reachedEngine(async () => {
    const answer = await link.ask({});
    expect(answer.status).toBe(502);
    expect(answer.headers['location']).toBeUndefined();
  });
  expect(reached).toBe(1);
});

test("an engine's own words about a bad request or load pass as they are", async () => {
  for (const status of [400, 429, 500]) {
    await play({ kind: 'status', status, body: { error: { message: 'mine' } } });
    const answer = await link.ask({});
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toEqual({ error: { message: 'mine' } });
  }
});

test('the engine gets its own name for a model, byte for byte the same body otherwise, and answers carry the network id', async () => {
  const body =
    '{ "messages" : [{"role":"user","content":"naïve \\u00e9 model"}],\n "model" :"mapped/model", "temperature":0.10 }';
  const answer = await link.ask({ model: 'mapped/model', body });
  expect(engine.requests.at(-1)?.model).toBe('engine:name');
  expect(Number(engine.requests.at(-1)?.headers['content-length'])).toBe(
    Buffer.byteLength(body) - 'mapped/model'.length + 'engine:name'.length,
  );
  expect(engine.requests.at(-1)?.body).toEqual({ ...JSON.parse(body), model: 'engine:name' });
  expect(JSON.parse(answer.text)).toMatchObject({ model: 'mapped/model' });
  const streamed = await link.ask({ model: 'mapped/model', body: { model: 'mapped/model', stream: true } });
  const events = streamed.text.split('\n\n').filter((event) => event.startsWith('data: {'));
  expect(events.length).toBeGreaterThan(3);
  for (const event of events) expect(JSON.parse(event.slice(6))).toMatchObject({ model: 'mapped/model' });
  expect(streamed.text.endsWith('data: [DONE]\n\n')).toBe(true);
});

test('consent that is withdrawn refuses the very next request', async () => {
  expect((await link.ask({ pool: 'eu-only' })).status).toBe(200);
  agent.update({ consent: { ...CONSENT, autoJoin: 'none' } });
  expect(await reachedEngine(async () => expect((await link.ask({ pool: 'eu-only' })).status).toBe(421))).toBe(0);
  expect((await link.ask({ pool: 'global' })).status).toBe(200);
  agent.update({ consent: { ...CONSENT, global: false } });
  expect((await link.ask({ pool: 'global' })).status).toBe(421);
  expect((await link.ask({ pool: 'eu-only' })).status).toBe(200);
});

test('consent that is withdrawn while a body is still coming refuses that request', async () => {
  const reached = await reachedEngine(async () => {
    const { stream, send } = openSlowly({ pool: 'eu-only' });
    await send('{"model":"m",');
    agent.update({ consent: { ...CONSENT, autoJoin: 'none' } });
    await send('"messages":[]}', true);
    expect(await statusOf(stream)).toBe(421);
  });
  expect(reached).toBe(0);
});

test('a pool that isolates needs consent to isolation, by name or in general, and listed owners are those only', async () => {
  const status = async (consent: Partial<Consent>, pool = 'isolated') => {
    agent.update({ consent: { ...CONSENT, ...consent } });
    return (await link.ask({ pool })).status;
  };
  expect(await status({})).toBe(421);
  expect(await status({ isolation: 'isolate' })).toBe(200);
  expect(await status({ autoJoin: 'none', join: ['isolated'] })).toBe(421);
  expect(await status({ autoJoin: 'none', join: [{ name: 'isolated', isolation: 'isolate' }] })).toBe(200);
  expect(await status({ autoJoin: { owners: ['org:owner'] } }, 'eu-only')).toBe(200);
  expect(await status({ autoJoin: { owners: ['org:other'] } }, 'eu-only')).toBe(421);
});

test('above its concurrency the node says 429 with retry-after, and is free again when an answer has ended', async () => {
  agent.update({ concurrency: 1 });
  await play({ kind: 'hang' });
  const hanging = link.stream({});
  await eventually('the engine has it', () => engine.requests.at(-1)?.outcome === 'answering');
  const refused = await link.ask({});
  expect(refused.status).toBe(429);
  expect(refused.headers['retry-after']).toBe('1');
  hanging.close(constants.NGHTTP2_CANCEL);
  await play({ kind: 'ok' });
  await eventually('free again', async () => (await link.ask({})).status === 200);
});

test("a caller's abort reaches the engine, before the first byte and in the middle of a stream", async () => {
  await play({ kind: 'hang' });
  const early = link.stream({});
  await eventually('the engine has it', () => engine.requests.at(-1)?.outcome === 'answering');
  early.close(constants.NGHTTP2_CANCEL);
  await eventually('the engine is told', () => engine.requests.at(-1)?.outcome === 'aborted');
  await play({ kind: 'ok', chunks: 20, pacingMs: 600_000 });
  const late = link.stream({ body: { model: 'm', stream: true } });
  await new Promise((resolve) => late.once('data', resolve));
  late.close(constants.NGHTTP2_CANCEL);
  await eventually('the engine is told', () => engine.requests.at(-1)?.outcome === 'aborted');
});

test.for([
  ['resets before its headers', { kind: 'reset-before-headers' }],
  ['demands another key', { kind: 'status', status: 401 }],
  ['redirects', { kind: 'status', status: 302, headers: { location: '/admin' } }],
  ['answers in an encoding', { kind: 'ok', headers: { 'content-encoding': 'gzip' } }],
] as const)('an engine that %s is a 502 in the one envelope', async ([, behaviour]) => {
  await play(behaviour);
  const answer = await link.ask({});
  expect(answer.status).toBe(502);
  expect(JSON.parse(answer.text)).toMatchObject({ error: { code: 'upstream.failed', type: 'server_error' } });
});

test('an engine that breaks off in the middle never looks like one that ended', async () => {
  for (const afterChunks of [0, 2]) {
    await play({ kind: 'reset-mid-stream', afterChunks });
    await expect(link.ask({ body: { model: 'm', stream: true } })).rejects.toThrow(/reset with 2/);
  }
  await expect(link.ask({})).rejects.toThrow(/reset with 2/);
});

test('an engine that does not answer in time is a 504, and is told', async () => {
  await play({ kind: 'hang' });
  const asked = link.ask({});
  await eventually('the engine has it', () => engine.requests.at(-1)?.outcome === 'answering');
  // In steps, as time passes: each heartbeat is heard before the next is due.
  for (let step = 0; step < 130; step++) {
    clock.advance(5_000);
    await new Promise<void>((resolve) => void link.session.ping(() => resolve()));
  }
  expect((await asked).status).toBe(504);
  await eventually('the engine is told', () => engine.requests.at(-1)?.outcome === 'aborted');
});

test('an engine that is gone is a 502 at once, its models leave the declaration, and come back with it', async () => {
  await play({ kind: 'refuse' });
  expect((await link.ask({})).status).toBe(502);
  const gone = link.declarations.length;
  await eventually('declared', () => link.declarations.at(-1)?.models.length === 0);
  await play({ kind: 'ok' });
  await eventually('declared again', () => {
    clock.advance(2_000);
    return link.declarations.slice(gone).at(-1)?.models.length === 2;
  });
  expect((await link.ask({})).status).toBe(200);
});

test('an answer that nobody reads is not taken from the engine', async () => {
  const bytes = 200_000_000;
  await play({ kind: 'huge', bytes });
  const stream = link.stream({ body: { model: 'm', stream: true } });
  await new Promise((resolve) => stream.once('response', resolve));
  const before = process.memoryUsage().rss;
  await eventually('the engine is stopped', async () => {
    const sent = engine.requests.at(-1)?.bytesSent ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return sent > 0 && engine.requests.at(-1)?.bytesSent === sent;
  });
  expect(engine.requests.at(-1)?.bytesSent).toBeLessThan(40_000_000);
  expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  // It was paused, not lost: a reader who comes late gets all of it.
  let read = 0;
  stream.on('data', (chunk: Buffer) => {
    read += chunk.byteLength;
  });
  await new Promise((resolve) => stream.once('end', resolve));
  expect(read).toBeGreaterThan(bytes);
});

test('a body that is too large is refused, not held', async () => {
  const reached = await reachedEngine(async () => {
    const { stream, send } = openSlowly({});
    const mebibyte = 'x'.repeat(1_048_576);
    await send('{"model":"m","messages":"');
    const status = statusOf(stream);
    for (let sent = 0; sent < 33 && !stream.destroyed; sent++) await send(mebibyte);
    expect(await status).toBe(413);
    stream.close(constants.NGHTTP2_CANCEL);
  });
  expect(reached).toBe(0);
});

test('a body that never ends gives its place back', async () => {
  agent.update({ concurrency: 1 });
  const { stream, send } = openSlowly({});
  await send('{"model":"m"');
  expect((await link.ask({})).status).toBe(429);
  const status = statusOf(stream);
  for (let step = 0; step < 25; step++) {
    clock.advance(5_000);
    await new Promise<void>((resolve) => void link.session.ping(() => resolve()));
  }
  expect(await status).toBe(400);
  await eventually('the place is free', async () => (await link.ask({})).status === 200);
  stream.close(constants.NGHTTP2_CANCEL);
});

test('a request without its labels is a 400, whichever is missing', async () => {
  for (const name of [LINK_HEADERS.pool, LINK_HEADERS.model, LINK_HEADERS.table, LINK_HEADERS.request]) {
    expect((await link.ask({ headers: { [name]: '' } })).status).toBe(400);
  }
});

function openSlowly(request: { pool?: string }) {
  const stream = link.session.request(
    {
      ':method': 'POST',
      ':path': '/v1/chat/completions',
      [LINK_HEADERS.pool]: request.pool ?? 'global',
      [LINK_HEADERS.model]: 'm',
      [LINK_HEADERS.table]: '1',
      [LINK_HEADERS.request]: 'req_slow',
    },
    { endStream: false },
  );
  stream.on('error', () => {});
  const send = async (text: string, last = false): Promise<void> => {
    await new Promise<void>((resolve) => {
      stream.write(text, () => resolve());
      if (stream.destroyed) resolve();
    });
    // A ping behind the data: the agent has read it when the answer is here.
    await new Promise<void>((resolve) => {
      if (!link.session.ping(() => resolve())) resolve();
    });
    if (last) stream.end();
  };
  return { stream, send };
}

function statusOf(stream: ReturnType<typeof openSlowly>['stream']): Promise<number> {
  return new Promise((resolve) => {
    stream.once('response', (headers) => resolve(Number(headers[':status'])));
    stream.resume();
  });
}
