import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

const main = fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));
const demoStamp = fileURLToPath(new URL('../demo-engine/node_modules/.installed', import.meta.url));
/** The demo's packages are fetched by a start, not by the tests: without them the network is tested without it. */
const hasDemo = existsSync(demoStamp);
const startLimitMs = 90_000;

interface Ready {
  readonly url: string;
  readonly apiKey: string;
  readonly adminToken: string;
  readonly docs: string;
}

/** A `subcloud up` in a process of its own. */
interface Up {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ready: Ready;
  readonly tookMs: number;
  stdout(): string;
  stderr(): string;
}

let scratch: string;
let data: string;
const running = new Set<ChildProcess>();

beforeAll(() => {
  scratch = mkdtempSync(path.join(tmpdir(), 'subcloud-first-run-'));
  data = path.join(scratch, 'data');
});
afterAll(async () => {
  for (const child of running) {
    child.kill('SIGTERM');
    await ended(child);
  }
  rmSync(scratch, { recursive: true });
});

function command(...args: readonly string[]): ChildProcess {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SUBCLOUD_')));
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

function collect(child: ChildProcess): { stdout: () => string; stderr: () => string } {
  const text = { stdout: '', stderr: '' };
  child.stdout?.on('data', (part: Buffer) => (text.stdout += part.toString()));
  child.stderr?.on('data', (part: Buffer) => (text.stderr += part.toString()));
  return { stdout: () => text.stdout, stderr: () => text.stderr };
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

async function run(...args: readonly string[]) {
  const child = command(...args);
  const { stdout, stderr } = collect(child);
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, stdout: stdout(), stderr: stderr() };
}

async function up(...args: readonly string[]): Promise<Up> {
  const startedAtMs = performance.now();
  const child = command('up', '--json', '--data', data, ...(hasDemo ? [] : ['--no-demo']), ...args);
  const { stdout, stderr } = collect(child);
  await vi.waitFor(
    () => {
      if (child.exitCode !== null) return;
      expect(stdout()).toContain('\n');
    },
    { timeout: startLimitMs, interval: 20 },
  );
  if (!stdout().includes('\n')) throw new Error(`up ended with ${child.exitCode}: ${stderr()}`);
  const ready = JSON.parse(stdout()) as Ready;
  return { child, pid: child.pid ?? 0, ready, tookMs: performance.now() - startedAtMs, stdout, stderr };
}

/** The processes that a process started, with what they run. */
function childrenOf(pid: number): { pid: number; runs: string }[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      try {
        const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        if (Number(parent) !== pid || state === 'Z') return [];
        return [{ pid: Number(entry), runs: readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
      } catch {
        return [];
      }
    });
}

function isRunning(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.startsWith('Z') === false;
  } catch {
    return false;
  }
}

async function answers(ready: Ready): Promise<string> {
  const client = new OpenAI({ baseURL: `${ready.url}/v1`, apiKey: ready.apiKey, maxRetries: 0 });
  if (!hasDemo) return (await client.models.list()).data.map(({ id }) => id).join();
  const stream = await client.chat.completions.create({
    model: 'subcloud-demo',
    messages: [{ role: 'user', content: 'What is the capital of France?' }],
    temperature: 0,
    stream: true,
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}

const expectedAnswer = hasDemo ? 'The capital of France is Paris.' : '';
const parts = hasDemo
  ? ['postgres', 'control/src/main', 'gateway/src/main', 'demo-engine/src/main', 'agent/src/main']
  : ['postgres', 'control/src/main', 'gateway/src/main'];

let network: Up;

test('one command brings the network up, prints one line, and the first answer is there', {
  timeout: startLimitMs,
}, async () => {
  network = await up('--port', '0');
  expect(Object.keys(network.ready)).toEqual(['url', 'apiKey', 'adminToken', 'docs']);
  expect(await answers(network.ready)).toBe(expectedAnswer);
  expect((await fetch(network.ready.docs)).status).toBe(200);
  const openapi = (await (await fetch(`${network.ready.url}/api/v1/openapi.json`)).json()) as { openapi: string };
  expect(openapi.openapi).toMatch(/^3\.1\./);
  expect(network.stdout().trimEnd().split('\n')).toHaveLength(1);
  expect(statSync(data).mode & 0o077).toBe(0);
  expect(childrenOf(network.pid)).toHaveLength(parts.length);
});

test('a second start on the same folder names the first, and a taken port is named', {
  timeout: startLimitMs,
}, async () => {
  const second = await run('up', '--data', data, '--port', '0');
  expect(second).toMatchObject({ exitCode: 1, stdout: '' });
  expect(second.stderr).toContain(`process ${network.pid} `);
  expect(second.stderr).toContain(network.ready.url);
  const { port } = new URL(network.ready.url);
  const taken = await run('up', '--data', path.join(scratch, 'other'), '--port', port);
  expect(taken).toMatchObject({ exitCode: 1, stdout: '' });
  expect(taken.stderr).toContain(`Port ${port} on 127.0.0.1 is taken`);
  expect(existsSync(path.join(scratch, 'other', 'postgres'))).toBe(false);
});

test('kill -9 of any part is repaired, and the network answers again on the same address', {
  timeout: 180_000,
}, async () => {
  for (const part of parts) {
    const victim = childrenOf(network.pid).find(({ runs }) => runs.includes(part));
    if (victim === undefined) throw new Error(`${part} does not run`);
    process.kill(victim.pid, 'SIGKILL');
    await vi.waitFor(
      async () => {
        const living = childrenOf(network.pid);
        expect(living.some(({ pid, runs }) => runs.includes(part) && pid !== victim.pid)).toBe(true);
        expect(await answers(network.ready)).toBe(expectedAnswer);
        expect((await run('principal', 'list', '--data', data)).exitCode).toBe(0);
      },
      { timeout: 30_000, interval: 200 },
    );
  }
  expect(network.child.exitCode).toBeNull();
});

test('kill -9 of the supervisor ends its children, and the next start has all that was acknowledged', {
  timeout: 180_000,
}, async () => {
  const made = await run('principal', 'create', 'org:acme', '--data', data);
  expect(made).toMatchObject({ exitCode: 0, stderr: '' });
  const orphans = childrenOf(network.pid);
  network.child.kill('SIGKILL');
  await ended(network.child);
  await vi.waitFor(() => expect(orphans.filter(({ pid }) => isRunning(pid))).toEqual([]), {
    timeout: 30_000,
    interval: 100,
  });
  const before = network.ready;
  network = await up('--port', new URL(before.url).port);
  expect(network.ready).toEqual(before);
  expect((await run('principal', 'list', '--data', data)).stdout).toContain('org:acme');
  expect(await answers(network.ready)).toBe(expectedAnswer);
});

test(
  'an engine that `subcloud agent` joins answers, and Ctrl-C lets its answer finish before everything stops',
  async () => {
    const engine = await slowEngine();
    const join = JSON.parse((await run('join-token', 'create', '--data', data, '--json')).stdout) as {
      joinToken: string;
    };
    const options = ['--engine', engine.url, '--data', path.join(scratch, 'agent'), '--name', 'slow-1'];
    const agent = command('agent', '--join', network.ready.url, '--token', join.joinToken, ...options);
    const said = collect(agent);
    const client = new OpenAI({ baseURL: `${network.ready.url}/v1`, apiKey: network.ready.apiKey, maxRetries: 0 });
    await vi.waitFor(async () => expect((await client.models.list()).data.map(({ id }) => id)).toContain('slow'), {
      timeout: 30_000,
      interval: 100,
    });
    expect(said.stdout()).toMatch(/^Enrolled: this machine is nod_\w+ in net_\w+\.\n$/);
    await vi.waitFor(
      () => expect([...said.stderr().matchAll(/^(Models: slow|Pools: global|Linked: .*)$/gm)]).toHaveLength(3),
      {
        timeout: 10_000,
      },
    );

    const children = childrenOf(network.pid);
    const messages = [{ role: 'user' as const, content: 'count' }];
    let text = '';
    for await (const chunk of await client.chat.completions.create({ model: 'slow', messages, stream: true })) {
      const isFirst = text === '';
      text += chunk.choices[0]?.delta.content ?? '';
      if (!isFirst || text === '') continue;
      network.child.kill('SIGINT');
      // npm passes the signal on once more: that is no wish to stop at once.
      network.child.kill('SIGINT');
    }
    expect(text).toBe('0123456789');
    expect(await ended(network.child)).toBe(0);
    expect(children.filter(({ pid }) => isRunning(pid))).toEqual([]);
    expect(existsSync(path.join(data, 'run', 'up.lock'))).toBe(false);
    expect(network.stdout().trimEnd().split('\n')).toHaveLength(1);
    await checkIsFree(Number(new URL(network.ready.url).port));
    agent.kill('SIGINT');
    expect(await ended(agent)).toBe(0);
    engine.close();
  },
  startLimitMs,
);

test('SIGTERM to `npm start` alone reaches the network, which drains and ends', {
  timeout: startLimitMs,
}, async () => {
  // As a service manager or a script does it, that knows of no group of processes: npm and its shell have to pass it on.
  const args = ['start', '-s', '--', '--json', '--no-demo', '--port', '0', '--data', data];
  const child = spawn('npm', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const { stdout, stderr } = collect(child);
  await vi.waitFor(() => expect(stdout(), stderr()).toContain('\n'), { timeout: startLimitMs, interval: 50 });
  const started = descendantsOf(child.pid ?? 0);
  expect(parts.slice(0, 3).filter((part) => !started.some(({ runs }) => runs.includes(part)))).toEqual([]);
  child.kill('SIGTERM');
  await ended(child);
  expect(started.filter(({ pid }) => isRunning(pid))).toEqual([]);
  expect(stderr()).toContain('Draining');
});

function descendantsOf(pid: number): { pid: number; runs: string }[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child.pid)]);
}

async function checkIsFree(port: number): Promise<void> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  server.close();
}

/** An OpenAI-compatible server whose answer takes a second. */
async function slowEngine(): Promise<{ url: string; close: () => void }> {
  const server = createHttpServer((request, response) => {
    if (request.url === '/v1/models') {
      response.setHeader('content-type', 'application/json');
      response.end('{"object":"list","data":[{"id":"slow","object":"model"}]}');
      return;
    }
    if (request.url !== '/v1/chat/completions') return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let count = 0;
    const timer = setInterval(() => {
      const chunk = {
        object: 'chat.completion.chunk',
        model: 'slow',
        choices: [{ index: 0, delta: { content: `${count}` } }],
      };
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
      count += 1;
      if (count < 10) return;
      clearInterval(timer);
      response.end('data: [DONE]\n\n');
    }, 100);
    response.on('close', () => clearInterval(timer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
