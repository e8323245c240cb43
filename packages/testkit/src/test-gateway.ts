/** A real gateway between a scripted control and scripted nodes, for tests of the gateway alone. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { request as secureRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CredentialRow, type MemberRow, type NodeRow, type PoolRow, rowKey } from '@subcloud/contract/table';
import { type GatewayRunOptions, type RunningGateway, gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { type Clock, systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import { generateSigningKey } from '@subcloud/kit/signing';
import { eventually } from './eventually.ts';
import { type PeerControl, startPeerControl } from './peer-control.ts';
import { type NodeHandler, type PeerNode, type PeerNodeOptions, startPeerNode } from './peer-node.ts';

export const MODEL = 'test-model';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** The connection broke before the end of the answer. */
  readonly broken: boolean;
}

export interface TestGateway extends AsyncDisposable {
  readonly gateway: RunningGateway;
  readonly control: PeerControl;
  readonly dataDir: string;
  /** An account key of `user:alice`, in the table from the start. */
  readonly key: string;
  /** Publishes and waits until the gateway has it. */
  publish(rows: readonly (readonly [string, unknown])[]): Promise<void>;
  /** Rows of a node and its memberships, and its live link. */
  node(options: NodeSetup): Promise<PeerNode>;
  call(options?: CallOptions): Promise<Reply>;
  /** As `call`, but hands out the request and its answer as they are. */
  open(options?: CallOptions): { readonly request: ClientRequest; readonly answer: Promise<IncomingMessage> };
  restart(): Promise<void>;
}

export interface NodeSetup extends Partial<Omit<PeerNodeOptions, 'url' | 'handler'>> {
  readonly handler?: NodeHandler;
  readonly pools?: readonly string[];
  readonly models?: readonly string[];
  readonly measuredAddress?: string | null;
  readonly concurrency?: number;
  readonly validUntil?: number;
  /** False: the rows alone. */
  readonly links?: boolean;
}

export interface CallOptions {
  /** Default: the gateway's own. */
  readonly url?: string;
  readonly localAddress?: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly key?: string | null;
  readonly body?: string | Buffer | object;
}

export async function startTestGateway(
  options: { readonly clock?: Clock; readonly observe?: GatewayRunOptions['observe']; readonly config?: object } = {},
): Promise<TestGateway> {
  const dataDir = mkdtempSync(join(tmpdir(), 'gateway-'));
  const control = await startPeerControl(join(dataDir, 'run'));
  const key = newSecret('account');
  control.publish([poolRow('global'), credentialRow(key)]);
  const run = (): Promise<RunningGateway> =>
    runGateway({
      config: loadConfig(gatewayOptions, { flags: { dataDir, port: 0, ...options.config } }),
      clock: options.clock ?? systemClock,
      random: systemRandom,
      log: silentLog,
      observe: options.observe,
    });
  let gateway = await run();
  await eventually('the gateway is ready', () => gateway.ready());
  const nodes: PeerNode[] = [];
  const open: TestGateway['open'] = (call = {}) => openCall(call.url ?? gateway.url, key, call);
  const publish: TestGateway['publish'] = async (rows) => {
    const version = control.publish(rows);
    await eventually(`table ${version}`, () => gateway.tableVersion() >= version);
  };
  return {
    get gateway() {
      return gateway;
    },
    control,
    dataDir,
    key,
    publish,
    async node({ handler = answers(), links = true, ...setup }) {
      const id = setup.id ?? `nod_${nodes.length}${Math.random().toString(36).slice(2, 10)}`;
      const nodeKey = setup.key ?? generateSigningKey();
      const address = setup.localAddress ?? '127.0.0.1';
      await publish([
        nodeRow(id, nodeKey.publicKey, {
          measuredAddress: setup.measuredAddress === undefined ? address : setup.measuredAddress,
          concurrency: setup.concurrency ?? null,
        }),
        ...(setup.pools ?? ['global']).map((pool) => memberRow(pool, id, setup.models, setup.validUntil ?? null)),
      ]);
      if (!links) return { id, key: nodeKey } as PeerNode;
      const peer = await startPeerNode({
        ...setup,
        url: gateway.url,
        id,
        key: nodeKey,
        localAddress: address,
        handler,
      });
      nodes.push(peer);
      const word = await peer.linked;
      if (word !== 'welcome') throw new Error(`the link was refused: ${word}`);
      return peer;
    },
    open,
    call: async (call = {}) => readReply(await open(call).answer),
    async restart() {
      await gateway.stop();
      gateway = await run();
      await eventually('the gateway is ready', () => gateway.ready());
    },
    async [Symbol.asyncDispose]() {
      for (const node of nodes) node.close();
      await gateway.stop();
      await control[Symbol.asyncDispose]();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function openCall(url: string, key: string, call: CallOptions): ReturnType<TestGateway['open']> {
  const { body = { model: MODEL, messages: [] }, path = '/v1/chat/completions' } = call;
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const method = call.method ?? 'POST';
  const bearer = call.key === undefined ? key : call.key;
  const secure = url.startsWith('https:') ? { rejectUnauthorized: false } : {};
  const asking = (url.startsWith('https:') ? secureRequest : request)(`${url}${path}`, {
    method,
    agent: false,
    ...(call.localAddress === undefined ? {} : { localAddress: call.localAddress }),
    ...secure,
    headers: {
      ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
      ...(method === 'POST' ? { 'content-type': 'application/json', 'content-length': bytes.byteLength } : {}),
      ...call.headers,
    },
  });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    asking.on('response', resolve);
    asking.on('error', reject);
  });
  answer.catch(() => {});
  asking.end(method === 'POST' ? bytes : undefined);
  return { request: asking, answer };
}

export async function readReply(answer: IncomingMessage): Promise<Reply> {
  const parts: Buffer[] = [];
  let broken = false;
  try {
    for await (const part of answer) parts.push(part as Buffer);
  } catch {
    broken = true;
  }
  const text = Buffer.concat(parts).toString('utf8');
  return { status: answer.statusCode ?? 0, headers: answer.headers, text, broken: broken || !answer.complete };
}

/** The code of an error answer. */
export function codeOf(reply: Reply): string {
  return (JSON.parse(reply.text) as { error: { code: string } }).error.code;
}

export function poolRow(name: string, changes: Partial<PoolRow> = {}): [string, PoolRow] {
  const row: PoolRow = {
    id: `pool-${name}`,
    name,
    owner: name === 'global' ? null : 'user:owner',
    revision: 1,
    effectiveHash: 'hash',
    isolation: 'shared',
    access: { tokens: false },
    candidates: 0,
    excluded: {},
    ...changes,
  };
  return [rowKey.pool(name), row];
}

export function credentialRow(secret: string, changes: Partial<CredentialRow> = {}): [string, CredentialRow] {
  const hash = hashSecret(secret);
  const row: CredentialRow = {
    id: `key_${hash.slice(0, 8)}`,
    kind: 'account',
    principal: 'user:alice',
    pool: null,
    expiresAt: null,
    ...changes,
  };
  return [rowKey.credential(hash), row];
}

export function nodeRow(id: string, publicKey: string, changes: Partial<NodeRow> = {}): [string, NodeRow] {
  const row: NodeRow = {
    id,
    publicKey,
    operator: 'user:op',
    measuredAddress: '127.0.0.1',
    concurrency: null,
    ...changes,
  };
  return [rowKey.node(id), row];
}

export function memberRow(
  pool: string,
  node: string,
  models: readonly string[] = [MODEL],
  validUntil: number | null = null,
): [string, MemberRow] {
  return [rowKey.member(pool, node), { pool, node, models, validUntil }];
}

export const COMPLETION = {
  id: 'c1',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello there.' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
};

/** Answers as an engine does: whole, or as events where the body asks for a stream. */
export function answers(text = 'Hello there.'): NodeHandler {
  return (stream, _headers, body) => {
    const asked = JSON.parse(body.toString()) as { stream?: boolean; stream_options?: { include_usage?: boolean } };
    if (asked.stream !== true) return sendJson(stream, 200, COMPLETION);
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
    for (const word of text.split(' ')) stream.write(event({ choices: [{ delta: { content: word } }] }));
    if (asked.stream_options?.include_usage === true) stream.write(event({ choices: [], usage: COMPLETION.usage }));
    stream.end('data: [DONE]\n\n');
  };
}

export function event(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

export function sendJson(
  stream: ServerHttp2Stream,
  status: number,
  value: object,
  headers: Record<string, string> = {},
): void {
  const text = JSON.stringify(value);
  stream.respond({
    ':status': status,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  stream.end(text);
}
