/** Control with one thing of every kind for each owner, and a credential for each person. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { controlOptions, runControl } from '@subcloud/control/run';
import { hashPassword } from '@subcloud/control/identity/passwords';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { hashSecret, parseJoinToken } from '@subcloud/kit/secrets';
import { type SigningKey, generateSigningKey, signDocument } from '@subcloud/kit/signing';
import { type Client, createClient } from '@subcloud/sdk/client';
import { testDatabase } from '@subcloud/testkit/test-database';
import { OWNERS, type Owner, PEOPLE } from './people.ts';

export const PASSWORD = 'correct horse battery staple';

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly code: string;
}

/** What belongs to one owner. */
export interface Things {
  readonly owner: Owner;
  /** Holds a node of `user:operator`; delegated to a team of `user:delegate`. */
  readonly subcloud: string;
  /** In a Subcloud of `user:host`. */
  readonly node: string;
  readonly attester: { readonly name: string; readonly key: SigningKey };
}

export interface Fixture extends AsyncDisposable {
  readonly admin: Client;
  readonly as: (person: string) => Client;
  readonly dataDir: string;
  readonly networkId: string;
  readonly hostCloud: string;
  readonly strangersNode: string;
  readonly operatorsNode: string;
  readonly things: (owner: Owner) => Things;
  readonly credential: (person: string) => string | undefined;
  readonly send: (method: string, path: string, body: unknown, credential: string | undefined) => Promise<Answer>;
  readonly sql: (text: string, values: readonly unknown[]) => Promise<void>;
  readonly enrol: (operator: string) => Promise<{ readonly id: string; readonly body: object }>;
  /** A new Subcloud of the owner. */
  readonly subcloud: (owner: string) => Promise<string>;
  readonly unique: (prefix: string) => string;
}

export async function startFixture(): Promise<Fixture> {
  const dataDir = mkdtempSync(join(tmpdir(), 'subcloud-access-'));
  const database = await testDatabase();
  const config = loadConfig(controlOptions, {
    flags: {
      dataDir,
      databaseUrl: database.connectionString,
      // Nobody listens there: the routes are there, and what they are sent is refused.
      nvidiaJwksUrl: 'http://127.0.0.1:1/jwks',
    },
  });
  const start = () => runControl({ config, log: silentLog });
  let control = await start();
  const socketPath = join(dataDir, 'run', 'api.sock');
  const { adminToken } = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as { adminToken: string };
  const admin = createClient({ url: 'http://control', socketPath, credential: adminToken });
  const credentials = new Map<string, string>([['admin-token', adminToken]]);
  const things = new Map<Owner, Things>();
  let count = 0;
  const clients = new Map<string, Client>();
  const as = (person: string): Client => {
    const made =
      clients.get(person) ?? createClient({ url: 'http://control', socketPath, credential: credentials.get(person) });
    clients.set(person, made);
    return made;
  };

  const sql: Fixture['sql'] = (text, values) =>
    withClient(database.connectionString, async (client) => void (await client.query(text, [...values])));
  const unique: Fixture['unique'] = (prefix) => `${prefix}-${++count}`;
  const makePrincipal = async (id: string): Promise<void> =>
    void (await admin.call('createPrincipal', { body: { id: id as 'user:x' } }));

  const enrol: Fixture['enrol'] = async (operator) => {
    const body = await enrolment(admin, operator, unique('node'));
    const answer = await send(socketPath, 'POST', '/api/v1/enrolments', body, undefined);
    return { id: (JSON.parse(answer.text) as { node: string }).node, body };
  };
  const subcloud: Fixture['subcloud'] = async (owner) => {
    const name = unique('pool');
    await admin.call('applySubcloud', { params: { name }, body: { manifest: manifestText(name, owner) } });
    return name;
  };

  for (const id of ['org:acme', 'team:acme/ml', 'org:other', 'team:other/ops']) await makePrincipal(id);
  for (const { name, principal } of PEOPLE) {
    if (principal === undefined) continue;
    if (principal.startsWith('user:')) await makePrincipal(principal);
    const { key } = await admin.call('createKey', { body: { principal } });
    credentials.set(name, key);
  }
  await seatPeople(sql);

  const hostCloud = await subcloud('user:host');
  const operatorsNode = (await enrol('user:operator')).id;
  const strangersNode = (await enrol('user:admin')).id;
  for (const owner of OWNERS) {
    const name = await subcloud(owner);
    await admin.call('inviteMember', { params: { name }, body: { node: operatorsNode } });
    const node = (await enrol(owner)).id;
    await admin.call('inviteMember', { params: { name: hostCloud }, body: { node } });
    const key = generateSigningKey();
    const attester = { name: unique('attester'), key };
    await admin.call('createAttester', {
      body: { name: attester.name, publicKey: key.publicKey, owner, facts: ['operatorSeat'] },
    });
    await sql(
      `insert into subcloud_delegates (subcloud_id, principal, since, added_by)
       select id, 'team:other/ops', 0, 'admin' from subclouds where name = $1`,
      [name],
    );
    things.set(owner, { owner, subcloud: name, node, attester });
  }
  await control.stop();
  control = await start();
  const { id: networkId } = await admin.call('network', {});

  return {
    admin,
    as,
    dataDir,
    networkId,
    hostCloud,
    strangersNode,
    operatorsNode,
    things(owner) {
      const found = things.get(owner);
      if (found === undefined) throw new Error(`no things of ${owner}`);
      return found;
    },
    credential: (person) => credentials.get(person),
    send: (method, path, body, credential) => send(socketPath, method, path, body, credential),
    sql,
    enrol,
    subcloud,
    unique,
    async [Symbol.asyncDispose]() {
      await Promise.all([admin, ...clients.values()].map((client) => client.close()));
      await control.stop();
      await database[Symbol.asyncDispose]();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export function manifestText(name: string, owner: string): string {
  return JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name, owner }, spec: {} });
}

/** The body of an enrolment with a new key and a new join token of the operator. */
export async function enrolment(admin: Client, operator: string, name: string): Promise<object> {
  const { joinToken } = await admin.call('createJoinToken', { body: { operator: operator as 'user:x' } });
  const secret = parseJoinToken(joinToken)?.secret ?? '';
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'jwk' }).x ?? '';
  const proof = sign(null, Buffer.from(`subcloud/v1/enrol\n${hashSecret(secret)}\n${raw}`), privateKey);
  return { joinToken: secret, publicKey: raw, name, proof: proof.toString('base64url'), agentVersion: '0.0.0' };
}

/** Who is what in the organisation, its team and the network. */
async function seatPeople(sql: Fixture['sql']): Promise<void> {
  const join_ = async (group: string, principal: string, role: string): Promise<void> =>
    sql('insert into group_members (group_id, principal, role, since, added_by) values ($1, $2, $3, 0, $4)', [
      group,
      principal,
      role,
      'admin',
    ]);
  for (const role of ['owner', 'admin', 'member', 'viewer']) {
    await join_('org:acme', `user:org-${role}`, role);
    await join_('team:acme/ml', `user:team-${role}`, role);
  }
  await join_('team:other/ops', 'user:delegate', 'member');
  await sql("update principals set network_role = 'admin' where id = 'user:network-admin'", []);
  await sql("update principals set network_role = 'auditor' where id = 'user:auditor'", []);
  // One person has an account; the others are principals that the admin made.
  await sql(
    "insert into accounts (principal, kind, email, password_hash, created_at, created_by) values ('user:stranger', 'person', 'stranger@example.com', $1, 0, 'admin')",
    [await hashPassword(PASSWORD)],
  );
}

let documents = 0;

/** A claim about the node, signed by the attester. */
export function claimDocument(
  networkId: string,
  { name, key }: Things['attester'],
  node: string,
): ReturnType<typeof signDocument> {
  const issuedAt = Date.now();
  documents += 1;
  return signDocument(key, 'claim', {
    version: 1,
    networkId,
    issuer: name,
    subject: { node },
    fact: 'operatorSeat',
    value: { country: 'DE' },
    issuedAt,
    // No two documents are the same: the same one twice is one claim.
    expiresAt: issuedAt + 3_600_000 + documents,
  });
}

function send(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  credential: string | undefined,
): Promise<Answer> {
  const sent = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        socketPath,
        method,
        path,
        headers: {
          ...(sent === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) }),
          ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
        },
      },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString();
          resolve({ status: answer.statusCode ?? 0, text, code: codeOf(text) });
        });
      },
    );
    asked.on('error', reject);
    asked.end(sent);
  });
}

function codeOf(text: string): string {
  try {
    return (JSON.parse(text) as { error?: { code?: string } }).error?.code ?? '';
  } catch {
    return 'not json';
  }
}
