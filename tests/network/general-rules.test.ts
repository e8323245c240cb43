/** The rules that hold for every route of the control API: Idempotency-Key, If-Match, cursors. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ControlRouteName, controlRoutes } from '@subcloud/contract/routes/control';
import type { RouteSpec } from '@subcloud/contract/routes/route';
import { readerOf } from '@subcloud/control/api/preconditions';
import { SECRET_PREFIXES } from '@subcloud/kit/secrets';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type WriteCases, type WriteName, OWN_YES, everyWrite, send, writeNames } from './every-write.ts';
import { BY_ACCOUNTS } from './every-write-people.ts';

let network: TestNetwork;
let node: TestNode;
let cases: WriteCases;
let store: pg.Client;
let adminToken: string;

beforeAll(async () => {
  network = await startTestNetwork();
  node = await network.node({ name: 'one', labels: { tier: 'gold' } });
  await network.serving('global', node);
  cases = await everyWrite(network, node);
  store = new pg.Client({ connectionString: network.databaseUrl });
  await store.connect();
  const text = readFileSync(join(network.dataDir, 'credentials.json'), 'utf8');
  adminToken = (JSON.parse(text) as { adminToken: string }).adminToken;
});
afterAll(async () => {
  await store.end();
  await network[Symbol.asyncDispose]();
});

const credentialFor = (name: ControlRouteName): { credential?: string } => {
  if ((controlRoutes[name] as RouteSpec).auth !== 'credential') return {};
  return { credential: OWN_YES.has(name as WriteName) ? network.apiKey : adminToken };
};
const call = (name: ControlRouteName, input: object, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  send(network, name, input, { ...credentialFor(name), headers });

async function entries(): Promise<number> {
  const { rows } = await store.query<{ count: string }>('select count(*) from audit');
  return Number(rows[0]?.count);
}
let keys = 0;
const freshKey = (): { 'idempotency-key': string } => ({ 'idempotency-key': `key-${(keys += 1)}` });

/** Its token comes from an attestation service; tests/network/nvidia.test.ts has one. */
const ELSEWHERE: readonly WriteName[] = ['nvidiaAttestation', ...BY_ACCOUNTS];
const names = writeNames.filter((name) => !ELSEWHERE.includes(name));

describe('Idempotency-Key', () => {
  test.each(names)('%s: sent again it is answered the same and done once', async (name) => {
    const input = await cases[name]();
    const key = freshKey();
    const first = await call(name, input, key);
    expect(first.status, first.text).toBeLessThan(300);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    const before = await entries();
    const again = await call(name, input, key);
    expect([again.status, again.text]).toEqual([first.status, first.text]);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(await entries()).toBe(before);
    const other = await call(name, await cases[name](), key);
    // Some cases have nothing that could differ.
    if (other.headers.get('idempotency-replayed') === null)
      expect([other.status, other.text]).toEqual([422, expect.stringContaining('client.idempotency_key_reused')]);
  });

  test('what is stored of an answer tells nobody the secret in it', async () => {
    const made = await call('createKey', await cases.createKey(), freshKey());
    const secret = (made.body as { key: string }).key;
    expect(secret).toMatch(new RegExp(`^${SECRET_PREFIXES.account}_`));
    const { rows } = await store.query<{ answer: Buffer }>(
      'select answer from idempotency_keys where answer is not null',
    );
    expect(rows.length).toBeGreaterThan(10);
    for (const { answer } of rows) expect(answer.toString('latin1')).not.toContain(secret.slice(4, 20));
  });

  test('of many at once one is done, whatever the others are told, also after a restart', async () => {
    const key = freshKey();
    const input = await cases.createPrincipal();
    const answers = await Promise.all(Array.from({ length: 12 }, () => call('createPrincipal', input, key)));
    for (const { status } of answers) expect([201, 409]).toContain(status);
    expect(answers.some(({ status }) => status === 201)).toBe(true);
    const { rows } = await store.query('select sequence from audit where subject = $1', [
      `principal:${(input.body as { id: string }).id}`,
    ]);
    expect(rows).toHaveLength(1);
    await network.restartControl();
    const later = await call('createPrincipal', input, key);
    expect([later.status, later.headers.get('idempotency-replayed')]).toEqual([201, 'true']);
  });

  test('a refused request takes no key, and a key of one caller is none of another', async () => {
    const key = freshKey();
    const refused = await call('revokeKey', { params: { id: 'key_nobody' } }, key);
    expect(refused.status).toBe(404);
    const input = await cases.createJoinToken();
    expect((await call('createJoinToken', input, key)).status).toBe(201);
    const stranger = await network.principal('user:stranger');
    const mine = await send(network, 'createJoinToken', { body: {} }, { credential: stranger, headers: key });
    expect([mine.status, mine.headers.get('idempotency-replayed')]).toEqual([201, null]);
    expect((await call('createJoinToken', input, { 'idempotency-key': 'two words' })).status).toBe(400);
  });
});

const checkable = names.filter((name) => {
  const spec: RouteSpec = controlRoutes[name];
  return spec.method !== 'post' && readerOf(spec) !== undefined;
});

describe('If-Match', () => {
  test('there are writes with a reader', () => expect(checkable.length).toBeGreaterThan(5));

  test.each(checkable)('%s: a stale revision changes nothing (412), the one that was read does', async (name) => {
    const input = (await cases[name]()) as { params?: object; query?: object };
    const reader = readerOf(controlRoutes[name]);
    if (reader === undefined) throw new Error('it has no reader');
    const reading = await call(reader, { params: input.params ?? {}, query: input.query ?? {} });
    const etag = reading.status === 200 ? reading.headers.get('etag') : null;
    const before = await entries();
    const stale = await call(name, input, { 'if-match': '"stale"' });
    expect([stale.status, stale.text]).toEqual([412, expect.stringContaining('client.revision_conflict')]);
    if (etag === null) expect((await call(name, input, { 'if-match': '*' })).status).toBe(412);
    else expect((await call(name, input, { 'if-none-match': '*' })).status).toBe(412);
    expect(await entries()).toBe(before);
    const done = await call(name, input, etag === null ? { 'if-none-match': '*' } : { 'if-match': etag });
    expect(done.status, done.text).toBeLessThan(300);
    if (etag !== null && reading.status === 200) {
      const after = await call(reader, { params: input.params ?? {}, query: input.query ?? {} });
      if (done.text.includes('"updated"')) expect(after.headers.get('etag')).not.toBe(etag);
    }
  });

  test('of two that update what both have read, one is told so', async () => {
    const made = await cases.putDomain();
    await call('putDomain', made);
    const etag = (await call('getDomain', { params: made.params })).headers.get('etag') ?? '';
    const put = (member: string): Promise<Answer> =>
      call('putDomain', { params: made.params, body: { members: [member] } }, { 'if-match': etag });
    const both = await Promise.all([put('FR'), put('NL')]);
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 412]);
  });

  test('where there is no revision it is refused, not ignored', async () => {
    const answer = await call('createKey', await cases.createKey(), { 'if-match': '"x"' });
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining('no revision')]);
  });
});

describe('cursors', () => {
  const LISTS: readonly [ControlRouteName, WriteName][] = [
    ['listPrincipals', 'createPrincipal'],
    ['listKeys', 'createKey'],
    ['listJoinTokens', 'createJoinToken'],
    ['listSubclouds', 'applySubcloud'],
    ['listDomains', 'putDomain'],
    ['listAttesters', 'createAttester'],
    ['listClaims', 'createClaim'],
    ['listAudit', 'createPrincipal'],
    ['listEvents', 'createPrincipal'],
  ];
  test.each(LISTS)('%s: while things are added, what was there comes once each', async (list, write) => {
    for (let count = 0; count < 3; count += 1) await call(write, await cases[write]());
    const all = async (limit: string, meanwhile: () => Promise<unknown>): Promise<string[]> => {
      const seen: string[] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const answer = await call(list, { query: { limit, ...(cursor === '' ? {} : { cursor }) } });
        expect(answer.status, answer.text).toBe(200);
        const page = answer.body as { items: object[]; next: string | null };
        expect(page.items.length).toBeLessThanOrEqual(Number(limit));
        seen.push(...page.items.map((item) => identityOf(item)));
        cursor = page.next;
        if (cursor !== null && seen.length < 600) await meanwhile();
      }
      return seen;
    };
    const before = await all('1000', () => Promise.resolve());
    let added = 0;
    const paged = await all('7', async () => {
      if ((added += 1) <= 5) await call(write, await cases[write]());
    });
    expect(new Set(paged).size).toBe(paged.length);
    expect(paged).toEqual(expect.arrayContaining(before));
  });

  test('a cursor that nobody gave out is refused or ends, and is no fault of ours', async () => {
    for (const [list] of LISTS)
      for (const cursor of ['x', '-1', '1e9', '%00', '9'.repeat(200)]) {
        const { status } = await call(list, { query: { cursor } });
        expect([list, cursor, status < 500]).toEqual([list, cursor, true]);
      }
  });
});

function identityOf(item: object): string {
  const { id, name, sequence } = item as { id?: string; name?: string; sequence?: number };
  return `${sequence ?? id ?? name ?? ''}`;
}
