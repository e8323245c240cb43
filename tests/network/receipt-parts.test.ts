/**
 * Receipts of what is no plain answer: given by several nodes, broken off, left by its caller, refused, tried elsewhere,
 * or of an internal API. Each has a receipt that says so, or none, as docs/receipts.md has it.
 */
import { type IncomingMessage, type ServerResponse, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Receipt } from '@subcloud/contract/receipts';
import { verifyReceipt } from '@subcloud/kit/receipts';
import { eventually } from '@subcloud/testkit/eventually';
import type { EngineBehaviour } from '@subcloud/testkit/scripted-engine';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

const FULL = 'Once upon a time there was a fox. 🦊 It had a red tail, and ran away.';
let network: TestNetwork;
let nodes: readonly TestNode[];
let key: string;
let fingerprint: string;
/** What the caller of the last request has of its answer, and who waits for more of it. */
let heard = '';
const waiting = new Set<() => void>();
const api = createServer((asked, response) => {
  const parts: Buffer[] = [];
  asked.on('data', (part: Buffer) => parts.push(part));
  asked.on('end', () => {
    response.writeHead(asked.url?.endsWith('/none') === true ? 404 : 200, { 'content-type': 'text/plain' });
    response.write('found ');
    if (asked.url?.includes('break') === true)
      return void atCaller((heard) => heard.includes('found ')).then(() => response.destroy());
    response.end(Buffer.concat(parts));
  });
});

beforeAll(async () => {
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  network = await startTestNetwork();
  key = network.apiKey;
  fingerprint = network.control.fingerprint;
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'lab', owner: 'user:admin' },
    spec: {
      models: { allow: [{ id: 'test-model' }] },
      participation: { mode: 'open', autoJoin: true },
      routing: { midstream: 'continue' },
      apis: [{ name: 'rag', methods: ['GET', 'POST'], paths: ['/**'] }],
    },
  });
  const apis = [{ name: 'rag', url }];
  const shared = { engine: { continues: true }, apis, consent: { autoJoin: 'all', global: false } };
  nodes = [await network.node({ name: 'one', ...shared }), await network.node({ name: 'two', ...shared })];
  for (const node of nodes) await network.serving('lab', node);
});
beforeEach(() => behave({ kind: 'ok' }));
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  await new Promise((resolve) => api.close(resolve));
});

const behave = async (behaviour: EngineBehaviour): Promise<void> => {
  for (const { engine } of nodes) await engine.set(behaviour);
};

/** Knows FULL by heart, goes on from what it is given; its connection breaks after so many characters of the first. */
function knowsByHeart(breaksAfter: number): EngineBehaviour {
  let asked = 0;
  return {
    kind: 'custom',
    answer({ body }, response: ServerResponse<IncomingMessage>) {
      const { messages } = body as { messages: readonly { role: string; content: string }[] };
      const last = messages.at(-1);
      const said = last?.role === 'assistant' ? last.content : '';
      const rest = Array.from(FULL.slice(said.length));
      const text = ((asked += 1) === 1 ? rest.slice(0, breaksAfter) : rest).map((content) => ({ delta: { content } }));
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const choice of [{ delta: { role: 'assistant', content: '' } }, ...text])
        response.write(
          `data: ${JSON.stringify({ id: 'x', choices: [{ index: 0, finish_reason: null, ...choice }] })}\n\n`,
        );
      if (asked === 1)
        return void atCaller((heard) => saidIn(heard).length >= breaksAfter).then(() => response.destroy());
      response.write('data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n');
      response.end('data: [DONE]\n\n');
    },
  };
}

interface Asked {
  readonly status: number;
  readonly id: string;
  readonly salt: string;
  readonly request: Buffer;
  readonly answer: Buffer;
}

/** So that what breaks off does so behind what the caller has, however slow the way there is. */
function atCaller(isThere: (heard: string) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!isThere(heard)) return;
      waiting.delete(look);
      resolve();
    };
    waiting.add(look);
    look();
  });
}

/** The characters of a streamed answer. */
function saidIn(stream: string): readonly string[] {
  const contents = stream.matchAll(/"content":("(?:[^"\\]|\\.)*")/g);
  return [...contents].flatMap(([, text = '""']) => Array.from(JSON.parse(text) as string));
}

/** `leaveAfter`: the caller goes when so many bytes have come. */
function ask(path: string, method: string, body: string, leaveAfter = Infinity): Promise<Asked> {
  const { hostname, port } = new URL(network.url);
  heard = '';
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${key}`,
      ...(body === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    };
    const asking = request({ hostname, port, path: `/s/lab${path}`, method, agent: false, headers }, (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        parts.push(part);
        heard += part.toString('latin1');
        for (const look of waiting) look();
        if ((bytes += part.byteLength) > leaveAfter) response.destroy();
      });
      response.on('error', () => {});
      response.on('close', () => {
        const header = (name: string): string => String(response.headers[name] ?? '');
        const [id, salt] = [header('x-request-id'), header('x-subcloud-receipt-salt')];
        resolve({
          status: response.statusCode ?? 0,
          id,
          salt,
          request: Buffer.from(body),
          answer: Buffer.concat(parts),
        });
      });
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

const CHAT = '/v1/chat/completions';
const STORY = JSON.stringify({ model: 'test-model', stream: true, messages: [{ role: 'user', content: 'A story.' }] });

const receiptOf = ({ id }: Asked, isThere: (receipt: Receipt) => boolean): Promise<Receipt> =>
  eventually('its receipt is there', async () => {
    const receipt = await network.admin.call('getReceipt', { params: { id } }).catch(() => undefined);
    return receipt !== undefined && isThere(receipt) ? receipt : undefined;
  });
const isSigned = ({ serving }: Receipt): boolean => serving !== null;

test('an answer that went on at another node: each signs its part, the gateway names both in order, and the text is theirs', async () => {
  await behave(knowsByHeart(20));
  const asked = await ask(CHAT, 'POST', STORY);
  expect([asked.status, asked.answer.toString().endsWith('data: [DONE]\n\n')]).toEqual([200, true]);
  const receipt = await receiptOf(asked, (one) => isSigned(one) && one.earlier?.length === 1);
  const report = verifyReceipt(receipt, fingerprint, asked);
  expect(report).toMatchObject({ request: 'same', answer: 'same', parts: 'same', faults: [] });
  const { routing, serving, earlier } = report;
  const first = Buffer.byteLength(Array.from(FULL).slice(0, 20).join(''));
  expect(routing.parts?.map(({ textBytes }) => textBytes)).toEqual([first, Buffer.byteLength(FULL) - first]);
  expect(new Set(routing.parts?.map(({ node }) => node)).size).toBe(2);
  expect([routing.earlierNodes, routing.node, serving?.broken, earlier[0]?.broken]).toEqual([
    1,
    routing.parts?.at(-1)?.node,
    undefined,
    true,
  ]);
  // Node ids are the network's own business.
  for (const { id } of nodes) expect(JSON.stringify(receipt)).not.toContain(id);

  // Offline, whatever was changed is found: bytes of the answer, of the request, and whose half stands where.
  const one = (bytes: Buffer, at: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  fc.assert(
    fc.property(fc.constantFrom('answer' as const, 'request' as const), fc.nat(), (what, drawn) => {
      const kept = { ...asked, [what]: one(asked[what], drawn % asked[what].byteLength) };
      expect(verifyReceipt(receipt, fingerprint, kept).faults).not.toEqual([]);
    }),
    { numRuns: 300 },
  );
  const [half] = receipt.earlier ?? [];
  if (half === undefined || receipt.serving === null) throw new Error('both have signed');
  const faults = (changes: Partial<Receipt>) => verifyReceipt({ ...receipt, ...changes }, fingerprint, asked).faults;
  expect(faults({ earlier: [receipt.serving], serving: half })).not.toEqual([]);
  expect(faults({ earlier: [half, half] })).not.toEqual([]);
  // A node that was gone before it could sign: the rest holds, and says that it is missing.
  const { earlier: _gone, ...without } = receipt;
  expect(verifyReceipt(without, fingerprint, asked)).toMatchObject({ parts: 'same', earlier: [], faults: [] });
});

test('an answer that broke off, and one whose caller left, have both halves, and neither says that it was whole', async () => {
  await behave({ kind: 'reset-mid-stream', afterChunks: 2, chunks: 8 });
  const tools = JSON.stringify({
    ...(JSON.parse(STORY) as object),
    tools: [{ type: 'function', function: { name: 'f' } }],
  });
  const broken = await ask(CHAT, 'POST', tools);
  const report = verifyReceipt(await receiptOf(broken, isSigned), fingerprint, broken);
  expect(report).toMatchObject({ request: 'same', answer: 'not checked', faults: [] });
  expect([report.routing.status, report.routing.broken, report.serving?.broken]).toEqual([502, true, true]);

  await behave({ kind: 'ok', chunks: 50, pacingMs: 20 });
  const left = await ask(CHAT, 'POST', STORY, 200);
  const halves = verifyReceipt(await receiptOf(left, isSigned), fingerprint, left);
  expect(halves).toMatchObject({ request: 'same', answer: 'not checked', faults: [] });
  expect([halves.routing.status, halves.routing.broken, halves.serving?.broken]).toEqual([499, true, true]);
});

test('a request that another node answered after one refused has the receipt of the one; a refusal has none', async () => {
  let asked = 0;
  await behave({
    kind: 'custom',
    answer(_request, response) {
      if ((asked += 1) === 1) return void response.writeHead(503).end('{"error":{"message":"no"}}');
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ choices: [{ message: { content: 'Well.' } }], usage: { completion_tokens: 2 } }));
    },
  });
  const body = JSON.stringify({ model: 'test-model', messages: [] });
  const served = await ask(CHAT, 'POST', body);
  expect([served.status, asked]).toEqual([200, 2]);
  const report = verifyReceipt(await receiptOf(served, isSigned), fingerprint, served);
  expect(report).toMatchObject({ request: 'same', answer: 'same', faults: [], routing: { earlierNodes: 0 } });

  await behave({ kind: 'status', status: 400, body: { error: { message: 'no' } } });
  const refused = await ask(CHAT, 'POST', body);
  expect([refused.status, refused.salt]).toEqual([400, '']);
  // By then a later one has come.
  await behave({ kind: 'ok' });
  await receiptOf(await ask(CHAT, 'POST', body), isSigned);
  await expect(network.admin.call('getReceipt', { params: { id: refused.id } })).rejects.toMatchObject({ status: 404 });
});

test.each([
  ['GET', '/search?q=fox&lang=en', '', 200],
  ['POST', '/documents/7', '{"text":"a fox"}', 200],
  ['GET', '/none', '', 404],
])('an internal API: %s %s has both halves, with what was asked in them', async (method, target, body, status) => {
  const asked = await ask(`/apis/rag${target}`, method, body);
  expect([asked.status, asked.answer.toString()]).toEqual([status, `found ${body}`]);
  const receipt = await receiptOf(asked, isSigned);
  const call = `${method} ${target}`;
  const verify = (changes: object) => verifyReceipt(receipt, fingerprint, { ...asked, call, ...changes });
  expect(verify({})).toMatchObject({
    request: 'same',
    answer: 'same',
    faults: [],
    routing: { status, model: 'api:rag' },
  });
  expect(verify({ call: undefined })).toMatchObject({ request: 'not checked', answer: 'same', faults: [] });
  for (const changed of [{ call: `${call}x` }, { request: Buffer.from('x') }, { answer: Buffer.from('found') }])
    expect(verify(changed).faults).not.toEqual([]);
  expect(JSON.stringify(receipt)).not.toContain('fox');
});

test('an internal API that breaks off in the middle of its answer: both halves say so', async () => {
  const asked = await ask('/apis/rag/break', 'GET', '');
  const report = verifyReceipt(await receiptOf(asked, isSigned), fingerprint, { ...asked, call: 'GET /break' });
  expect(report).toMatchObject({ request: 'same', answer: 'not checked', faults: [] });
  expect([report.routing.broken, report.serving?.broken]).toEqual([true, true]);
});
