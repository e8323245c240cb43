/**
 * Two control processes on one database. The leader is stopped in the middle (SIGSTOP), the standby takes over, the old one
 * comes back (SIGCONT) and can neither write nor publish nor grant a lease; then the new one is killed and the old one leads
 * again. What was acknowledged is there, and leases of the one before are honoured.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TABLE_FORMAT } from '@subcloud/contract/table';
import { WATCH_PATHS, WATCH_VERSION } from '@subcloud/contract/watch';
import { generateSigningKey } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';
import { testDatabase } from '@subcloud/testkit/test-database';
import { expect, test } from 'vitest';

const CONTROL = fileURLToPath(new URL('../../packages/control/src/main.ts', import.meta.url));

interface Answer {
  readonly status: number;
  readonly body: string;
}

class Replica {
  readonly dataDir: string;
  readonly lines: string[] = [];
  readonly #child: ChildProcess;

  constructor(dataDir: string, databaseUrl: string) {
    this.dataDir = dataDir;
    const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('SUBCLOUD_'));
    this.#child = spawn(process.execPath, [CONTROL], {
      env: {
        ...Object.fromEntries(environment),
        SUBCLOUD_DATA_DIR: dataDir,
        SUBCLOUD_DATABASE_URL: databaseUrl,
        SUBCLOUD_LOG_LEVEL: 'silent',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (part: Buffer) => this.lines.push(...part.toString().split('\n').filter(Boolean)));
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async said(what: string): Promise<void> {
    await eventually(`the replica says ${what}`, () => this.lines.some((line) => line.includes(what)), 60_000);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  api(method: string, path: string, body?: object): Promise<Answer> {
    const { adminToken } = JSON.parse(readFileSync(join(this.dataDir, 'credentials.json'), 'utf8')) as {
      adminToken: string;
    };
    return ask(join(this.dataDir, 'run', 'api.sock'), method, path, body, { authorization: `Bearer ${adminToken}` });
  }

  gateway(path: string, body: object): Promise<Answer> {
    return ask(join(this.dataDir, 'run', 'gateways.sock'), 'POST', path, body);
  }
}

function ask(
  socketPath: string,
  method: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, headers: { ...headers, 'content-type': 'application/json' } });
    asked.once('error', reject);
    asked.once('response', (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString()));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
      response.once('error', reject);
    });
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The version at the end of the snapshot that a watch begins with. */
function snapshotVersion(replica: Replica, gateway: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const query = `gateway=${gateway}&version=${WATCH_VERSION}&table=${TABLE_FORMAT}`;
    const asked = request({
      socketPath: join(replica.dataDir, 'run', 'gateways.sock'),
      path: `${WATCH_PATHS.watch}?${query}`,
    });
    asked.once('error', reject);
    asked.once('response', (response) => {
      let text = '';
      response.on('data', (part: Buffer) => {
        text += part.toString();
        const commit = /\{"type":"commit"[^\n]*\n/.exec(text)?.[0];
        if (commit === undefined) return;
        asked.destroy();
        resolve((JSON.parse(commit) as { tableVersion: number }).tableVersion);
      });
      response.once('error', () => undefined);
    });
    asked.end();
  });
}

const STANDBY = { status: 503, body: expect.stringContaining('platform.standby') as string };

test('a stopped leader is replaced, and what it still wants to do when it comes back is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-replicas-'));
  const { connectionString } = await testDatabase();
  const replicas: Replica[] = [];
  try {
    const [dirA, dirB] = [join(folder, 'a'), join(folder, 'b')];
    mkdirSync(dirA);
    mkdirSync(dirB);
    const a = new Replica(dirA, connectionString);
    replicas.push(a);
    await a.said('ready');
    // Replicas of one network have its keys.
    for (const name of ['keys', 'credentials.json']) cpSync(join(dirA, name), join(dirB, name), { recursive: true });
    const b = new Replica(dirB, connectionString);
    replicas.push(b);
    await b.said('standby');
    expect(await b.api('GET', '/api/v1/principals')).toEqual(STANDBY);
    expect(await b.gateway(WATCH_PATHS.acknowledge, {})).toEqual(STANDBY);

    const acknowledged: string[] = [];
    for (let index = 0; index < 20; index += 1) {
      const id = `user:made-${index}`;
      const { status } = await a.api('POST', '/api/v1/principals', { id });
      expect(status).toBe(201);
      acknowledged.push(id);
    }
    const gateway = 'gw_abcdefghij';
    const { publicKey } = generateSigningKey();
    const certified = await a.gateway(WATCH_PATHS.certificate, {
      gateway,
      publicKey,
      tlsKeySha256: null,
      url: 'http://127.0.0.1:1',
    });
    expect(certified.status).toBe(200);
    const tableVersion = await snapshotVersion(a, gateway);
    const granted = await a.gateway(WATCH_PATHS.acknowledge, { gateway, boot: 'one', tableVersion });
    expect(JSON.parse(granted.body)).toMatchObject({ lease: true });

    a.signal('SIGSTOP');
    // These lie in its sockets until it goes on.
    const lateWrite = a.api('POST', '/api/v1/principals', { id: 'user:late' });
    const lateLease = a.gateway(WATCH_PATHS.acknowledge, { gateway: 'gw_zzzzzzzzzz', boot: 'one', tableVersion });
    for (const late of [lateWrite, lateLease]) late.catch(() => undefined);
    await b.said('ready');
    const { body } = await b.api('GET', '/api/v1/principals?limit=100');
    for (const id of acknowledged) expect(body).toContain(`"${id}"`);
    // The gateway has its lease from the old leader still, and an older table: a withdrawal waits for that lease.
    const manifest = JSON.stringify({
      apiVersion: 'subcloud/v1',
      kind: 'Subcloud',
      metadata: { name: 'lab', owner: 'user:admin' },
      spec: {},
    });
    const applied = await b.api('PUT', '/api/v1/subclouds/lab', { manifest });
    expect(JSON.parse(applied.body)).toMatchObject({ withdrawal: { complete: false, outstanding: [{ gateway }] } });

    a.signal('SIGCONT');
    // Answered, or cut off with the sockets of the term that is over.
    for (const late of [lateWrite, lateLease]) {
      const outcome: unknown = await late.catch((error: unknown) => (error as { code?: unknown }).code);
      expect([STANDBY, 'ECONNRESET']).toContainEqual(outcome);
    }
    await a.said('standby');
    expect((await b.api('GET', '/api/v1/principals?limit=100')).body).not.toContain('user:late');
    expect((await a.api('POST', '/api/v1/principals', { id: 'user:late' })).status).toBe(503);

    b.signal('SIGKILL');
    await eventually(
      'the old leader leads again',
      async () => (await a.api('GET', '/api/v1/principals?limit=100').catch(() => undefined))?.status === 200,
      60_000,
    );
    const after = await a.api('GET', '/api/v1/principals?limit=100');
    for (const id of acknowledged) expect(after.body).toContain(`"${id}"`);
    expect((await a.api('GET', '/api/v1/subclouds/lab')).status).toBe(200);
  } finally {
    for (const replica of replicas) await replica.end();
    rmSync(folder, { recursive: true, force: true });
  }
}, 180_000);
