/**
 * Nothing of a caller is kept (promise 9): marked prompts, answers and credentials pass through a network of real
 * processes in every way that requests end, and then each byte that the network has written anywhere is searched: logs
 * at their finest, journal, database files with their write-ahead log, audit log, state of the agent, backup, metrics.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { type EngineBehaviour, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { firstLine, startUp } from '../crash/processes.ts';

const CLI = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
const AGENT = fileURLToPath(new URL('../../packages/agent/src/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'subcloud-canary-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Letters and digits alone, so that no encoding of JSON, URLs or SQL changes it. */
const PROMPT = 'canaryPROMPTx7Qz4Lk9';
const ANSWER = 'canaryANSWERx7Qz4Lk9';
const WRONG_KEY = 'sck_canaryKEYx7Qz4Lk9canaryKEYx7Qz4Lk9canaryK';
/** Kept on purpose: what is searched for is found where it is. */
const MODEL = 'canaryMODELx7Qz4Lk9';

/** A text as it stands, and as base64 (at each of the three offsets) and hex hold it. */
function forms(secret: string): Buffer[] {
  const base64 = [0, 1, 2].map((offset) => {
    const encoded = Buffer.from(`${'x'.repeat(offset)}${secret}`).toString('base64');
    // The ends depend on the neighbours.
    return encoded.slice(4, -4);
  });
  return [secret, ...base64, Buffer.from(secret).toString('hex')].map((form) => Buffer.from(form));
}

async function* filesBelow(path: string): AsyncGenerator<string> {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (entry.isDirectory()) yield* filesBelow(below);
    else if (entry.isFile()) yield below;
  }
}

/** Names of the files that hold any form of `secret`. */
async function holders(path: string, secret: string): Promise<string[]> {
  const wanted = forms(secret);
  const longest = Math.max(...wanted.map((form) => form.byteLength));
  const found: string[] = [];
  for await (const file of filesBelow(path)) {
    let tail = Buffer.alloc(0);
    for await (const chunk of createReadStream(file, { highWaterMark: 1_048_576 }) as AsyncIterable<Buffer>) {
      const bytes = Buffer.concat([tail, chunk]);
      if (wanted.some((form) => bytes.includes(form))) {
        found.push(relative(path, file));
        break;
      }
      tail = bytes.subarray(Math.max(0, bytes.byteLength - longest));
    }
  }
  return found;
}

interface Sent {
  readonly status: number;
  readonly text: string;
}

/** A call whose headers are what is written here, and nothing else. */
function send(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  cutAfterBytes?: number,
): Promise<Sent> {
  return new Promise((resolve) => {
    const call = request(
      url,
      { method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
      (answer) => {
        if (cutAfterBytes !== undefined) answer.once('data', () => call.destroy());
        text(answer).then(
          (whole) => resolve({ status: answer.statusCode ?? 0, text: whole }),
          () => resolve({ status: answer.statusCode ?? 0, text: '' }),
        );
      },
    );
    call.on('error', () => resolve({ status: 0, text: '' }));
    call.end(body);
  });
}

const ENDS: readonly EngineBehaviour[] = [
  { kind: 'ok', text: ANSWER },
  { kind: 'no-usage', text: ANSWER },
  { kind: 'reset-before-headers' },
  { kind: 'reset-mid-stream', text: ANSWER, afterChunks: 2 },
  { kind: 'cut-clean', text: ANSWER, afterChunks: 2 },
  { kind: 'status', status: 400, body: { error: { message: `${ANSWER} about ${PROMPT}` } } },
  { kind: 'status', status: 429, body: { error: { message: `${ANSWER} about ${PROMPT}` } } },
  { kind: 'status', status: 500, body: { error: { message: `${ANSWER} about ${PROMPT}` } } },
  { kind: 'malformed-sse' },
  {
    kind: 'custom',
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'x-echo': PROMPT, 'set-cookie': ANSWER });
      response.write(`data: {"choices":[{"delta":{"content":"${ANSWER}`);
      setTimeout(() => response.destroy(), 20);
    },
  },
  {
    kind: 'custom',
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(`{"choices":[{"message":{"content":"${ANSWER}"}}],"usage":{"prompt_tokens":"${PROMPT}"}}`);
    },
  },
];

test('no byte of a prompt, an answer or a credential is anywhere in what the network has written', async () => {
  await using engine = await startScriptedEngine({ models: [MODEL] });
  const data = join(folder, 'network');
  let stderr = '';
  await using up = await startUp(data, ['--log-level', 'trace']);
  up.child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const { url, apiKey, adminToken } = up.ready;
  const admin = createClient({ url, credential: adminToken });
  const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
  const key = (await admin.call('createKey', { body: { principal: 'user:admin' } })).key;
  const agent = spawn(process.execPath, [AGENT], {
    env: {
      HOME: folder,
      SUBCLOUD_URL: url,
      SUBCLOUD_JOIN_TOKEN: joinToken,
      SUBCLOUD_DATA_DIR: join(folder, 'agent'),
      SUBCLOUD_ENGINES: engine.url,
      SUBCLOUD_LOG_LEVEL: 'trace',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await using _agent = { [Symbol.asyncDispose]: () => endAgent(agent) };
  let agentSaid = '';
  agent.stderr.on('data', (chunk: Buffer) => (agentSaid += chunk.toString()));
  await firstLine(agent);

  const chat = `${url}/v1/chat/completions`;
  const authorization = `Bearer ${key}`;
  const body = (more: object) =>
    JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: PROMPT }], user: PROMPT, ...more });
  await eventually(
    'the node serves',
    async () => (await send(chat, { authorization }, body({}))).status === 200,
    30_000,
  );

  let answered = 0;
  for (const behaviour of ENDS) {
    await engine.set(behaviour);
    for (const stream of [false, true]) {
      const sent = await send(chat, { authorization, cookie: PROMPT, 'x-note': PROMPT }, body({ stream }));
      if (sent.text.includes(ANSWER)) answered += 1;
      await send(chat, { authorization }, body({ stream }), 1);
    }
  }
  // The answers did come: what is not found below was not simply never there.
  expect(answered).toBeGreaterThan(5);
  await engine.set({ kind: 'ok', text: ANSWER });
  const refused = [
    await send(chat, { authorization: `Bearer ${WRONG_KEY}` }, body({})),
    await send(chat, { authorization: `Basic ${WRONG_KEY}` }, body({})),
    await send(chat, { authorization }, `{"model":"${MODEL}","messages":[${PROMPT}`),
    await send(chat, { authorization }, `{"model":"${MODEL}","model":"${PROMPT}"}`),
    await send(chat, { authorization, 'content-type': 'text/plain' }, PROMPT),
    await send(chat, { authorization, 'x-subcloud': 'nowhere' }, body({})),
    await send(`${url}/s/nowhere/v1/chat/completions`, { authorization }, body({})),
    await send(chat, { authorization }, body({ messages: PROMPT })),
    await send(`${url}/api/v1/principals`, { authorization: `Bearer ${WRONG_KEY}` }, body({})),
    await send(`${url}/api/v1/principals`, { authorization: `Bearer ${adminToken}` }, `{"id":"${PROMPT}"`),
    await send(`${url}/api/v1/principals`, { authorization: `Bearer ${adminToken}` }, body({})),
  ];
  for (const { status, text: told } of refused) {
    expect(status).toBeLessThan(500);
    expect(told).not.toContain(WRONG_KEY);
  }
  await agentAndRest();

  async function agentAndRest(): Promise<void> {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const control = await (await fetch(`${url}/metrics/control`)).text();
    await usageArrived(up.databaseUrl());
    await endAgent(agent);
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SUBCLOUD_')));
    const backup = spawn(process.execPath, [CLI, 'backup', '--data', data, '--out', join(folder, 'b.gz')], { env });
    const backupSaid = await Promise.all([text(backup.stdout), text(backup.stderr)]);
    await admin.close();
    await up[Symbol.asyncDispose]();
    writeFileSync(join(folder, 'backup.jsonl'), gunzipSync(readFileSync(join(folder, 'b.gz'))));
    writeFileSync(join(folder, 'said'), [stderr, agentSaid, metrics, control, ...backupSaid].join('\n'));
  }

  // The search finds what is there: a model's name stands in usage, in rows and in their log.
  const known = await holders(folder, MODEL);
  expect(known).toContain('backup.jsonl');
  expect(known.filter((name) => name.includes('/base/')).length).toBeGreaterThan(0);
  expect(known.filter((name) => name.includes('pg_wal')).length).toBeGreaterThan(0);

  expect(await holders(folder, PROMPT)).toEqual([]);
  expect(await holders(folder, ANSWER)).toEqual([]);
  expect(await holders(folder, WRONG_KEY)).toEqual([]);
  // A key that was made is known to whom it was shown; the network keeps its hash.
  expect(await holders(folder, key)).toEqual([]);
  expect(await holders(folder, joinToken.split('.')[0] ?? '')).toEqual([]);
  // The two of the first start are in the one file that says so, and in a backup of it.
  for (const first of [apiKey, adminToken])
    expect((await holders(folder, first)).sort()).toEqual(['backup.jsonl', 'network/credentials.json']);
}, 180_000);

async function endAgent(agent: ChildProcess): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null) return;
  const gone = once(agent, 'exit');
  agent.kill('SIGTERM');
  await gone;
}

/** All usage is in the store, and every page of it in its file. */
async function usageArrived(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    let before = -1;
    await eventually(
      'usage and decisions have arrived',
      async () => {
        const { rows } = await client.query<{ count: number }>(
          'select ((select count(*) from usage) + (select count(*) from decisions))::int as count',
        );
        const count = rows[0]?.count ?? 0;
        const settled = count === before && count > 20;
        before = count;
        if (!settled) await new Promise((resolve) => setTimeout(resolve, 1_000));
        return settled;
      },
      60_000,
    );
  } finally {
    await client.end();
  }
}
