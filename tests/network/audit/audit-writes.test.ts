/** No write without its entry: every write route, through the real network, as the admin and as somebody who may not. */
import pg from 'pg';
import type { AuditEntry } from '@subcloud/contract/audit';
import { SECRET_PREFIXES } from '@subcloud/kit/secrets';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BY_ACCOUNTS } from '../every-write-people.ts';
import { type Answer, type WriteCases, type WriteName, OWN_YES, everyWrite, send, writeNames } from '../every-write.ts';

let network: TestNetwork;
let node: TestNode;
let cases: WriteCases;
let store: pg.Client;
let adminToken: string;
const answers: Answer[] = [];

beforeAll(async () => {
  network = await startTestNetwork();
  node = await network.node({ name: 'one', labels: { tier: 'gold' } });
  await network.serving('global', node);
  cases = await everyWrite(network, node);
  store = new pg.Client({ connectionString: network.databaseUrl });
  await store.connect();
  const credentials = JSON.parse(readFileSync(join(network.dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
  };
  adminToken = credentials.adminToken;
});
afterAll(async () => {
  await store.end();
  await network[Symbol.asyncDispose]();
});

async function entriesOf(answer: Answer): Promise<AuditEntry[]> {
  const requestId = answer.headers.get('x-request-id');
  const { rows } = await store.query<{ entry: string }>('select entry from audit where request_id = $1', [requestId]);
  return rows.map(({ entry }) => JSON.parse(entry) as AuditEntry);
}

/** Its token comes from an attestation service; tests/network/nvidia.test.ts has one. */
const ELSEWHERE: readonly WriteName[] = ['nvidiaAttestation', ...BY_ACCOUNTS];

test.each(writeNames.filter((name) => !ELSEWHERE.includes(name)))(
  '%s: what is acknowledged stands in the audit log, what is refused too',
  async (name) => {
    const isPublic = name === 'enrol';
    if (!isPublic) {
      const stranger = await network.principal('user:stranger');
      const refused = await send(network, name, await cases[name](), { credential: stranger });
      answers.push(refused);
      if (refused.status >= 400) {
        expect([403, 404], refused.text).toContain(refused.status);
        expect(await entriesOf(refused)).toMatchObject([
          { outcome: 'refused', actor: 'user:stranger', after: null, before: null },
        ]);
      } else expect(await entriesOf(refused)).toMatchObject([{ outcome: 'done', actor: 'user:stranger' }]);
    }
    const reason = `because of ${name} – ünïcode`;
    const done = await send(network, name, await cases[name](), {
      ...(isPublic ? {} : { credential: OWN_YES.has(name) ? network.apiKey : adminToken }),
      headers: { 'x-subcloud-reason': encodeURIComponent(reason) },
    });
    answers.push(done);
    expect(done.status, done.text).toBeLessThan(300);
    const entries = await entriesOf(done);
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({ version: 1, outcome: 'done', code: null, reason });
    expect(entries[0]?.actor).toMatch(isPublic ? /^join-token:jtk_/ : OWN_YES.has(name) ? /^user:admin$/ : /^admin$/);
    // A claim is everybody's to bring (what it is worth is in its signature), and an organisation everybody's to make.
    const byAdmin = name === 'createClaim' || name === 'createOrg' ? 'caller' : 'networkAdmin';
    expect(entries[0]?.role).toBe(isPublic ? 'join-token' : OWN_YES.has(name) ? 'self' : byAdmin);
  },
);

test('no secret that a route gave or took stands in the audit log', async () => {
  // Somebody pastes a key where an id and a reason belong.
  const pasted = await network.principal('user:pasted');
  answers.push(
    await send(
      network,
      'revokeKey',
      { params: { id: pasted } },
      { credential: adminToken, headers: { 'x-subcloud-reason': pasted } },
    ),
  );
  const { rows } = await store.query<{ entry: string }>('select entry from audit');
  const log = rows.map(({ entry }) => entry).join('\n');
  const secrets = answers.flatMap(({ text }) => text.match(secretShape) ?? []);
  expect(secrets.length).toBeGreaterThanOrEqual(3);
  for (const secret of [...secrets, adminToken, network.apiKey, pasted]) {
    expect(log).not.toContain(secret);
    expect(log).not.toContain(secret.slice(4, 47));
  }
  expect(log).not.toMatch(secretShape);
});
const secretShape = new RegExp(`(?:${Object.values(SECRET_PREFIXES).join('|')})_[A-Za-z0-9_-]{43}`, 'g');

test('nobody changes or deletes an entry', async () => {
  for (const statement of [
    "update audit set entry = '{}' where sequence = 1",
    'delete from audit where sequence = 1',
    'delete from audit',
    'truncate audit cascade',
    'delete from audit_seals',
  ])
    await expect(store.query(statement)).rejects.toThrow('append-only');
});
