/** Receipts: what caller, gateway and node each know of an answer agrees, and whatever was changed is found. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '@subcloud/control/store/database';
import { type Receipt, type ServingBatch, endorsementText } from '@subcloud/contract/receipts';
import { generateSigningKey, importSigningKey, signDocument, signText } from '@subcloud/kit/signing';
import { silentLog } from '@subcloud/kit/log';
import { treeRoot } from '@subcloud/kit/receipt-tree';
import { receiptFrom, verifyReceipt } from '@subcloud/kit/receipts';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from './run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'subcloud-receipts-'));
let network: TestNetwork;
let node: TestNode;
let key: string;
let fingerprint: string;

beforeAll(async () => {
  network = await startTestNetwork();
  key = await network.principal('user:ada');
  node = await network.node({ name: 'one', consent: { autoJoin: 'all' } });
  for (const name of ['lab', 'den'])
    await network.apply({
      apiVersion: 'subcloud/v1',
      kind: 'Subcloud',
      metadata: { name, owner: 'user:ada' },
      spec: {
        models: { allow: [{ id: 'test-model', alias: 'fast' }, { id: 'another-model' }] },
        participation: { mode: 'open', autoJoin: true },
      },
    });
  for (const pool of ['global', 'lab', 'den']) await network.serving(pool, node);
  fingerprint = network.control.fingerprint;
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Asked {
  readonly id: string;
  readonly salt: string;
  readonly request: string;
  readonly answer: Buffer;
}

async function ask(pool: string, body: object): Promise<Asked> {
  const request = JSON.stringify({ messages: [{ role: 'user', content: 'hello' }], ...body });
  const response = await fetch(`${network.url}${pool === 'global' ? '' : `/s/${pool}`}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: request,
  });
  const answer = Buffer.from(await response.arrayBuffer());
  expect(response.status, answer.toString()).toBe(200);
  const [id, salt] = [response.headers.get('x-request-id'), response.headers.get('x-subcloud-receipt-salt')];
  return { id: id ?? '', salt: salt ?? '', request, answer };
}

const whole = (id: string): Promise<Receipt> =>
  eventually('both halves are there', async () => {
    const receipt = await network.client(key).call('getReceipt', { params: { id } });
    return receipt.serving === null ? undefined : receipt;
  });

test('of two gateways that say they led a request, the first has the receipt, and keeps it', async () => {
  const { id } = await ask('global', { model: 'test-model' });
  const mine = await whole(id);
  await withClient(network.databaseUrl, async (client) => {
    const other = `insert into receipt_halves (request_id, side, at, principal, node_id, pool, batch, index, leaf, path)
      select request_id, side, at, 'user:other', 'nod_other', 'lab', batch, index, leaf, path
      from receipt_halves where request_id = $1 and side = 'routing'`;
    await expect(client.query(other, [id])).rejects.toMatchObject({ constraint: 'receipt_halves_routing' });
    expect((await client.query(`${other} on conflict do nothing`, [id])).rowCount).toBe(0);
  });
  expect(await whole(id)).toEqual(mine);
});

test.each([
  ['a whole answer', 'global', { model: 'test-model' }],
  ['a stream whose usage the gateway asked for', 'lab', { model: 'test-model', stream: true }],
  [
    'a stream whose usage the caller asked for',
    'lab',
    { model: 'test-model', stream: true, stream_options: { include_usage: true } },
  ],
  ['an alias, and preferences for the gateway alone', 'lab', { model: 'fast', subcloud: { sort: 'latency' } }],
])(
  '%s: the command line gets its receipt, and verifies it against what was sent and what came',
  async (_, pool, body) => {
    const { id, salt, request: sent, answer } = await ask(pool, body);
    const command = commandLine(network, key);
    const file = (name: string): string => join(folder, `${id}-${name}`);
    const got = await command('receipt', 'get', id, '--out', file('receipt'));
    expect(got).toMatchObject({ exitCode: 0, stderr: '' });
    expect(got.stdout).toContain('Both halves are signed.');
    writeFileSync(file('request'), sent);
    writeFileSync(file('answer'), answer);
    const options = ['--request', file('request'), '--answer', file('answer'), '--salt', salt];
    const verify = (...more: string[]) => command('receipt', 'verify', file('receipt'), ...options, ...more);
    const report = await command.json<object>(
      'receipt',
      'verify',
      file('receipt'),
      ...options,
      '--fingerprint',
      fingerprint,
    );
    expect(report).toMatchObject({
      request: 'same',
      answer: 'same',
      faults: [],
      routing: { pool, model: 'test-model', status: 200 },
      serving: { model: 'test-model' },
      network: { pinned: true },
    });
    expect((await verify('--fingerprint', '0'.repeat(64))).stderr).toContain('another network');
    writeFileSync(file('answer'), Buffer.concat([answer, Buffer.from(' ')]));
    const changed = await verify();
    expect(changed.exitCode).not.toBe(0);
    expect(changed.stderr).toContain('the answer is not what was sent');
  },
);

test('a receipt in which anything was changed does not hold', async () => {
  const asked = await ask('lab', { model: 'test-model' });
  const text = JSON.stringify(await whole(asked.id));
  const kept = { salt: asked.salt, answer: asked.answer };
  expect(verifyReceipt(JSON.parse(text) as Receipt, fingerprint, kept)).toMatchObject({ answer: 'same', faults: [] });
  /** Every text in it, by its path. */
  const places: string[][] = [];
  const walk = (value: unknown, at: string[]): void => {
    if (typeof value === 'string' || typeof value === 'number') places.push(at);
    else if (typeof value === 'object' && value !== null)
      for (const [name, inner] of Object.entries(value)) walk(inner, [...at, name]);
  };
  walk(JSON.parse(text), []);
  fc.assert(
    fc.property(fc.constantFrom(...places), fc.nat(), (at, drawn) => {
      const copy = JSON.parse(text) as Record<string, never>;
      let holder: Record<string, unknown> = copy;
      for (const name of at.slice(0, -1)) holder = holder[name] as Record<string, unknown>;
      const last = at.at(-1) ?? '';
      const value = holder[last];
      const place = typeof value === 'string' ? drawn % Math.max(1, value.length) : 0;
      holder[last] =
        typeof value === 'number'
          ? value + 1
          : String(value).slice(0, place) + (String(value)[place] === '1' ? '2' : '1') + String(value).slice(place + 1);
      let faults: readonly string[];
      try {
        faults = verifyReceipt(copy as unknown as Receipt, fingerprint, kept).faults;
      } catch (error) {
        faults = [String(error)];
      }
      expect(faults, at.join('.')).not.toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test('of the file, the answer and the request no byte can be another one', async () => {
  const asked = await ask('lab', { model: 'test-model' });
  const receipt = await whole(asked.id);
  const file = Buffer.from(JSON.stringify(receipt));
  const request = Buffer.from(asked.request);
  const kept = { salt: asked.salt, answer: asked.answer, request };
  expect(verifyReceipt(receipt, fingerprint, kept)).toMatchObject({ request: 'same', answer: 'same', faults: [] });
  /** Undefined: it is no receipt. */
  const read = (bytes: Buffer): Receipt | undefined => {
    try {
      return receiptFrom(JSON.parse(bytes.toString()));
    } catch {
      return undefined;
    }
  };
  const holds = (changed: Buffer, content: typeof kept): boolean => {
    const other = read(changed);
    try {
      return other !== undefined && verifyReceipt(other, fingerprint, content).faults.length === 0;
    } catch {
      return false;
    }
  };
  const places = fc.oneof(
    fc.record({ of: fc.constant('file' as const), at: fc.nat(file.byteLength - 1) }),
    fc.record({ of: fc.constant('answer' as const), at: fc.nat(asked.answer.byteLength - 1) }),
    fc.record({ of: fc.constant('request' as const), at: fc.nat(request.byteLength - 1) }),
  );
  await fc.assert(
    fc.asyncProperty(places, fc.integer({ min: 1, max: 255 }), async ({ of, at }, flip) => {
      // The network in this process lives on meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
      const changed = Buffer.from({ file, answer: asked.answer, request }[of]);
      changed[at] = (changed[at] ?? 0) ^ flip;
      const isHeld = of === 'file' ? holds(changed, kept) : holds(file, { ...kept, [of]: changed });
      expect(isHeld, `${of} at ${at}: ${file.subarray(Math.max(0, at - 40), at + 2).toString()}`).toBe(false);
    }),
    { numRuns: 600 },
  );
});

test('receipts of one node in two pools have nothing of it in common, and name it nowhere', async () => {
  const [lab, den] = await Promise.all([ask('lab', { model: 'test-model' }), ask('den', { model: 'test-model' })]);
  const [one, other] = [await whole(lab.id), await whole(den.id)];
  const keyOf = ({ serving }: Receipt) => JSON.parse(serving?.certificate.body ?? '{}') as Record<string, string>;
  expect(keyOf(one)['node']).toMatch(/^n-[0-9a-f]{16}$/);
  for (const what of ['node', 'publicKey']) expect(keyOf(one)[what]).not.toBe(keyOf(other)[what]);
  expect(one.serving?.batch.signer).not.toBe(other.serving?.batch.signer);
  for (const receipt of [one, other]) expect(JSON.stringify(receipt)).not.toContain(node.id);
});

test('a stranger reads of a receipt that is there what it reads of one that is not', async () => {
  const { id } = await ask('lab', { model: 'test-model' });
  await whole(id);
  const stranger = network.client(await network.principal('user:bob'));
  const said = async (request: string): Promise<string> =>
    stranger.call('getReceipt', { params: { id: request } }).then(
      () => 'a receipt',
      (error: unknown) => String(error).replaceAll(request, 'req_0'),
    );
  expect(await said(id)).toBe(await said('req_0'));
});

test('salts, prompts and answers are in no table and no file of the network', async () => {
  const { id, salt } = await ask('lab', { model: 'test-model', stream: true });
  await whole(id);
  const db = openDatabase(network.databaseUrl, silentLog);
  try {
    const rows = await db
      .selectFrom('receipt_halves')
      .select(['side', 'leaf', 'path', 'principal', 'node_id', 'pool', 'batch'])
      .where('request_id', '=', id)
      .execute();
    expect(rows).toHaveLength(2);
    const text = JSON.stringify(rows);
    for (const secret of [salt, 'hello', key]) expect(text).not.toContain(secret);
  } finally {
    await db.destroy();
  }
});

/** What an agent with this key would send of one leaf, by a gateway of this network. */
async function send(by: TestNode, leaf: string, signer: 'itself' | 'another', endorsed = true): Promise<void> {
  const nodeKey = importSigningKey(readFileSync(join(network.dataDir, 'agents', by.name, 'node.pem'), 'utf8'));
  const pool = generateSigningKey();
  const { networkId } = network.control;
  const [vouching, endorsing] = [signer === 'itself' ? pool : generateSigningKey(), endorsed ? nodeKey : pool];
  const root = treeRoot([leaf]);
  const batch: ServingBatch = {
    pool: 'lab',
    publicKey: pool.publicKey,
    endorsement: signText(endorsing, endorsementText(networkId, by.id, 'lab', pool.publicKey)),
    document: signDocument(vouching, 'receipt-batch', { version: 1, networkId, count: 1, root, issuedAt: Date.now() }),
    leaves: [leaf],
  };
  const body = JSON.stringify({ gateway: network.gateway.id, batches: [{ node: by.id, ...batch }] });
  const socketPath = join(network.dataDir, 'run', 'gateways.sock');
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const call = request({ socketPath, path: '/internal/v1/receipts', method: 'POST' }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode));
    });
    call.on('error', reject).end(body);
  });
  expect(status).toBe(200);
}

test('only the node that served an answer can sign for it, with a key that it vouches for', async () => {
  const { id } = await ask('lab', { model: 'test-model' });
  const leaf = (await whole(id)).serving?.leaf ?? '';
  const other = await network.node({ name: 'two', models: ['another-model'], consent: { autoJoin: 'all' } });
  await network.serving('lab', other);
  const db = openDatabase(network.databaseUrl, silentLog);
  try {
    await db.deleteFrom('receipt_halves').where('request_id', '=', id).where('side', '=', 'serving').execute();
  } finally {
    await db.destroy();
  }
  const serving = async () => (await network.client(key).call('getReceipt', { params: { id } })).serving;
  await send(other, leaf, 'itself');
  await send(node, leaf, 'another');
  await send(node, leaf, 'itself', false);
  await send(node, leaf.replace(id, 'req_0'), 'itself');
  await send(node, 'no JSON', 'itself');
  expect(await serving()).toBeNull();
  await send(node, leaf, 'itself');
  expect((await serving())?.leaf).toBe(leaf);
});
