/**
 * A gateway of two processes, as an operator runs it: one port for callers, a link from the node to each worker, and each
 * worker its own to control. Real processes, real signals.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { type Client, createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import pg from 'pg';
import { expect, test } from 'vitest';
import { firstLine, pidIn, startServiceAgent, startUp } from '../crash/processes.ts';
import { startScaledOut } from './scaled-out.ts';

const CLI = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
const CALLERS = 6;
const LIMIT_MS = 90_000;

test('two workers answer on one port; kill -9 of one loses and doubles nothing, and a removed node is served by neither', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-workers-'));
  let running = true;
  try {
    await using up = await startUp(join(folder, 'network'), ['--workers', '2']);
    await using engine = await startScriptedEngine({ models: ['test-model'] });
    const { url, apiKey, adminToken } = up.ready;
    const admin = createClient({ url, credential: adminToken });
    const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    await using _agent = await startServiceAgent(agentSettings(url, joinToken, join(folder, 'agent'), engine.url));
    const workers = await gatewaysOf(admin);
    expect(workers).toHaveLength(2);
    expect(new Set([url, ...workers.map((worker) => worker.url)]).size).toBe(3);
    for (const worker of workers) await eventually('each worker serves', () => served(worker.url, apiKey), LIMIT_MS);

    const answers = new Set<string>();
    /** What callers met instead of an answer since the last look. */
    let failures: string[] = [];
    const caller = async (): Promise<void> => {
      while (running) {
        const id = await chat(url, apiKey, (failure) => failures.push(failure));
        if (id === undefined) await pause();
        else if (answers.has(id)) throw new Error(`two answers have the request id ${id}`);
        else answers.add(id);
      }
    };
    const callers = Array.from({ length: CALLERS }, caller);
    const more = (count: number): Promise<unknown> => {
      const from = answers.size;
      return eventually(`${count} more answers`, () => answers.size >= from + count, LIMIT_MS);
    };
    await more(60);
    expect(failures).toEqual([]);
    const [pid] = workerPids(pidIn(up.child), '2');
    if (pid === undefined) throw new Error('there is no second worker');
    process.kill(pid, 'SIGKILL');
    await eventually('the worker is gone', () => !workerPids(pidIn(up.child), '2').includes(pid));
    // The other one serves on.
    await more(CALLERS * 2);
    for (const worker of workers) await eventually('both serve again', () => served(worker.url, apiKey), LIMIT_MS);
    await eventually('the worker has joined the shared port', () => sharesPort(url, '2'), LIMIT_MS);
    failures = [];
    await more(60);
    expect(failures).toEqual([]);
    expect(await gatewaysOf(admin)).toEqual(workers);

    const { outstanding } = await admin.call('removeNode', { params: { id: await nodeId(admin) } });
    expect(outstanding).toEqual([]);
    for (const worker of workers) expect(await chat(worker.url, apiKey)).toBeUndefined();
    running = false;
    await Promise.all(callers);
    const counted = await usage(up.databaseUrl(), answers);
    expect([...answers].filter((id) => counted.get(id)?.count !== 1)).toEqual([]);
    expect(new Set([...counted.values()].map(({ gateway }) => gateway))).toEqual(
      new Set(workers.map((worker) => worker.id)),
    );
    await admin.close();
  } finally {
    running = false;
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);

test('workers of a gateway on its own enrol with a token each, let answers finish on SIGTERM, and give their leases back', async () => {
  await using scaled = await startScaledOut();
  const dataDir = join(scaled.folder, 'gateway');
  const { certificate, privateKey } = makeTlsCertificate(['127.0.0.1'], Date.now());
  const [certificateFile, keyFile] = [join(scaled.folder, 'tls.pem'), join(scaled.folder, 'tls.key')];
  writeFileSync(certificateFile, certificate);
  writeFileSync(keyFile, privateKey);
  const start = (...more: string[]): ChildProcess =>
    spawn(
      process.execPath,
      [CLI, 'serve', 'gateway', '--json', '--data-dir', dataDir, '--port', '0', '--control-url', scaled.url(), ...more],
      { env: { PATH: process.env['PATH'], SUBCLOUD_LOG_LEVEL: 'error' }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
  const tls = ['--tls-certificate', certificateFile, '--tls-key', keyFile];
  const lacking = start(...tls, '--workers', '2', '--gateway-token', await scaled.token());
  expect(await faultOf(lacking)).toMatch(/not enrolled yet.*\(config\.\w+\)/s);
  const [first] = (await scaled.admin.call('listGateways')).items;

  // The first worker is enrolled by now, and needs none.
  const child = start(...tls, '--workers', '2', '--gateway-token', await scaled.token());
  const ready = JSON.parse(await firstLine(child)) as { readonly url: string; readonly workers: readonly Worker[] };
  expect(ready).toMatchObject({ ready: 'gateway', pin: pinOf(certificate), workers: [{ id: first?.id }, {}] });
  await using agent = await scaled.agent('node', ready);
  expect(agent.linked()).toBe(true);
  for (const { url } of [{ url: ready.url }, ...ready.workers])
    await eventually('each serves', () => served(url, scaled.apiKey), LIMIT_MS);
  await scaled.engine('node').set({ kind: 'ok', chunks: 12, pacingMs: 150 });
  const streams = ready.workers.map((worker) => open(worker.url, scaled.apiKey));
  await Promise.all(streams.map((stream) => stream.begun));
  child.kill('SIGTERM');
  const exited = once(child, 'exit');
  expect((await Promise.all(streams.map((stream) => stream.text))).map((text) => text.slice(-14))).toEqual(
    ready.workers.map(() => 'data: [DONE]\n\n'),
  );
  expect(await exited).toEqual([0, null]);
  expect((await scaled.admin.call('listGateways')).items.map(({ leaseEndsAt }) => leaseEndsAt)).toEqual([null, null]);
}, 240_000);

test('a number of workers that cannot be is refused with the range, and so are ports that there are not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-workers-'));
  const start = (...args: string[]): ChildProcess =>
    spawn(process.execPath, [CLI, 'serve', 'gateway', '--data-dir', folder, ...args], {
      env: { PATH: process.env['PATH'] },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  try {
    for (const workers of ['0', '9', '1.5', 'many'])
      expect(await faultOf(start('--workers', workers))).toMatch(/--workers.*1 to 8.*config\.invalid_option/s);
    expect(await faultOf(start('--workers', '2', '--port', '0', '--worker-port', '65535'))).toMatch(
      /65535 to 65536.*--worker-port/s,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);

/** As curl takes it for --pinnedpubkey. */
function pinOf(certificate: string): string {
  const key = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  return `sha256//${createHash('sha256').update(key).digest('base64')}`;
}

interface Worker {
  readonly id: string;
  readonly url: string;
}

function agentSettings(url: string, joinToken: string, dataDir: string, engines: string): Record<string, string> {
  return {
    SUBCLOUD_URL: url,
    SUBCLOUD_JOIN_TOKEN: joinToken,
    SUBCLOUD_DATA_DIR: dataDir,
    SUBCLOUD_ENGINES: engines,
    SUBCLOUD_CONSENT: '{autoJoin: all}',
    SUBCLOUD_HARDWARE: 'none',
    SUBCLOUD_LOG_LEVEL: 'silent',
  };
}

/** In the order of their ids; their urls once they have one. */
async function gatewaysOf(admin: Client): Promise<readonly Worker[]> {
  return eventually('every gateway has a url', async () => {
    const { items } = await admin.call('listGateways');
    const known = items.flatMap(({ id, url }) => (url === null ? [] : [{ id, url }]));
    return known.length === items.length ? known : undefined;
  });
}

/** Children of `parent` that are this worker, ended ones left out. */
function workerPids(parent: number, worker: string): readonly number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const [state, owner] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(owner) !== parent || state === 'Z') return [];
      const environment = readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0');
      return environment.includes(`SUBCLOUD_WORKER=${worker}`) ? [Number(entry)] : [];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
}

/** Whether that worker answers on the port that callers use. The kernel chooses: it may take some tries. */
async function sharesPort(url: string, worker: string): Promise<boolean> {
  for (let attempt = 0; attempt < 16; attempt += 1) {
    if ((await (await fetchAlone(`${url}/metrics`)).text).includes(`subcloud_links{worker="${worker}"}`)) return true;
  }
  return false;
}

async function nodeId(admin: Client): Promise<string> {
  return (await admin.call('listNodes')).items[0]?.id ?? '';
}

interface Call {
  readonly status: number;
  readonly requestId: string | undefined;
  readonly text: Promise<string>;
}

/** On a connection of its own. Its certificate is its own; nothing is said to it that is worth anything. */
function fetchAlone(url: string, key?: string, body?: object): Promise<Call> {
  return new Promise((resolve, reject) => {
    const options = {
      method: body === undefined ? 'GET' : 'POST',
      agent: false,
      rejectUnauthorized: false,
      headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
    };
    const call = (url.startsWith('https:') ? secureRequest : request)(url, options, (answer) => {
      const text = new Promise<string>((done, fail) => {
        let all = '';
        answer.setEncoding('utf8').on('data', (part: string) => (all += part));
        answer.on('end', () => done(all));
        answer.on('error', fail);
      });
      text.catch(() => undefined);
      resolve({
        status: answer.statusCode ?? 0,
        requestId: answer.headers['x-request-id'] as string | undefined,
        text,
      });
    });
    call.on('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function body(stream: boolean): object {
  return { model: 'test-model', stream, messages: [{ role: 'user', content: 'hello' }] };
}

/** The request's id when the answer came whole. */
async function chat(url: string, key: string, failed?: (why: string) => void): Promise<string | undefined> {
  try {
    const { status, requestId, text } = await fetchAlone(`${url}/v1/chat/completions`, key, body(false));
    const answer = await text;
    if (status === 200) return requestId;
    failed?.(`${status} ${answer}`);
  } catch (error) {
    failed?.(String(error));
  }
  return undefined;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

async function served(url: string, key: string): Promise<boolean> {
  return (await chat(url, key)) !== undefined;
}

function open(url: string, key: string): { readonly begun: Promise<unknown>; readonly text: Promise<string> } {
  const call = fetchAlone(`${url}/v1/chat/completions`, key, body(true));
  return { begun: call, text: call.then(({ text }) => text) };
}

/** What a process that cannot start says. */
async function faultOf(child: ChildProcess): Promise<string> {
  let said = '';
  child.stderr?.on('data', (part: Buffer) => (said += part.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  expect(code).toBe(1);
  return said;
}

/** By request id, of those that were answered. */
async function usage(databaseUrl: string, answers: ReadonlySet<string>) {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return await eventually('all usage has arrived', async () => {
      const { rows } = await client.query<{ request_id: string; gateway: string; count: number }>(
        'select request_id, min(gateway) as gateway, count(*)::int as count from usage where status = 200 group by request_id',
      );
      const byRequest = new Map(rows.map((row) => [row.request_id, row]));
      return [...answers].every((id) => byRequest.has(id)) ? byRequest : undefined;
    });
  } finally {
    await client.end();
  }
}
