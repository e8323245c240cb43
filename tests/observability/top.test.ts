/**
 * `subcloud top`: what gateways say of their load reaches who may see it, and nobody else; in a real terminal it draws, and
 * gives the terminal back.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { expect, test } from 'vitest';

const CLI = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));

async function chat(network: TestNetwork, model: string, key = network.apiKey): Promise<number> {
  const answer = await fetch(`${network.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }),
  });
  await answer.text();
  return answer.status;
}

test('each sees the sums of the pools that it may explain, and the nodes that are its own', async () => {
  await using network = await startTestNetwork();
  const operatorKey = await network.principal('user:operator');
  const ownerKey = await network.principal('user:owner');
  const strangerKey = await network.principal('user:stranger');
  const shared = await network.node({
    name: 'shared',
    operator: 'user:operator',
    models: ['served'],
    consent: { autoJoin: 'all' },
  });
  await network.node({ name: 'other', models: ['another'] });
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'mine', owner: 'user:owner' },
    spec: { participation: { mode: 'open', autoJoin: true } },
  });
  await network.serving('global', shared);
  await network.serving('mine', shared);
  const admin = () => network.admin.call('getLoad', {});
  const silent = { inFlight: null, standing: null };
  expect(await admin()).toMatchObject({ windowMs: 0, nodes: [silent, silent], nodesLeftOut: 0 });
  const seen = await eventually('both pools carried something', async () => {
    expect(await chat(network, 'served')).toBe(200);
    expect(await chat(network, 'nobody-has-this')).toBe(404);
    const load = await admin();
    const global = load.pools.find(({ name }) => name === 'global');
    return (global?.requestsPerS ?? 0) > 0 &&
      (global?.refusedPerS ?? 0) > 0 &&
      global?.ttftMs !== null &&
      typeof load.nodes.find(({ name }) => name === 'shared')?.latencyMs === 'number'
      ? load
      : undefined;
  });
  expect(seen.gateways).toEqual({ reporting: 1, leased: 1 });
  expect(seen.pools.map(({ name }) => name)).toEqual(['global', 'mine']);
  expect(seen.pools[0]).toMatchObject({ failedPerS: 0, waiting: 0 });
  expect(seen.pools[0]?.ttftMs?.p95).toBeGreaterThanOrEqual(seen.pools[0]?.ttftMs?.p50 ?? Infinity);
  expect(seen.pools[1]).toMatchObject({ requestsPerS: 0, ttftMs: null, members: { active: 1 } });
  expect(seen.nodes.map(({ name }) => name).sort()).toEqual(['other', 'shared']);
  expect(seen.nodes.find(({ name }) => name === 'shared')).toMatchObject({
    id: shared.id,
    online: true,
    standing: 'in',
  });

  const owner = await network.client(ownerKey).call('getLoad', {});
  expect(owner.pools.map(({ name }) => name)).toEqual(['mine']);
  expect(owner).toMatchObject({ nodes: [], gateways: null });
  expect(JSON.stringify(owner)).not.toContain(shared.id);
  const operator = await network.client(operatorKey).call('getLoad', {});
  expect(operator).toMatchObject({ pools: [], nodes: [{ id: shared.id }], gateways: null });
  expect(await network.client(strangerKey).call('getLoad', {})).toMatchObject({ pools: [], nodes: [], gateways: null });
  expect([seen.nodesLeftOut, owner.nodesLeftOut, operator.nodesLeftOut]).toEqual([0, 0, 0]);

  await network.admin.call('drainNode', { params: { id: shared.id }, body: {} });
  expect((await admin()).nodes.find(({ id }) => id === shared.id)).toMatchObject({ standing: 'draining' });
});

function adminToken({ dataDir }: TestNetwork): string {
  const file = readFileSync(join(dataDir, 'credentials.json'), 'utf8');
  return (JSON.parse(file) as { readonly adminToken: string }).adminToken;
}

const SCRIPT = '/usr/bin/script';

interface Screen {
  readonly child: ChildProcess;
  /** All that the terminal got. */
  readonly text: () => string;
  readonly tty: () => string;
}

/** The command in a pseudo-terminal of its own, 100 by 24. */
function inTerminal(network: TestNetwork, folder: string, ...more: string[]): Screen {
  const ttyFile = join(folder, 'tty');
  const args = [CLI, 'top', '--url', network.url, ...more].map((word) => `'${word}'`).join(' ');
  const command = `tty > '${ttyFile}'; stty rows 24 cols 100; exec '${process.execPath}' ${args}`;
  const child = spawn(SCRIPT, ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
    env: { ...process.env, SUBCLOUD_TOKEN: adminToken(network), SHELL: '/bin/sh', TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return { child, text: () => text, tty: () => readFileSync(ttyFile, 'utf8').trim() };
}

/** Its exit code, once all that it said has come: `exit` may be before that. */
async function ended(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}

test.skipIf(!existsSync(SCRIPT))(
  'in a terminal it draws, takes keys, follows a new size, and gives the terminal back',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'subcloud-top-'));
    try {
      await using network = await startTestNetwork();
      const node = await network.node({ name: 'drawn', models: ['served'] });
      await network.serving('global', node);
      const { child, text, tty } = inTerminal(network, folder);
      try {
        await eventually(
          'the node is drawn',
          async () => {
            await chat(network, 'served');
            return text().includes('drawn') && /last \d+ s/.test(text()) ? true : undefined;
          },
          60_000,
        );
        expect(text()).toContain('\u001b[?1049h');
        expect(text()).toContain('by requests');
        child.stdin?.write('s');
        await eventually('another key to sort by', () => text().includes('by inflight'));
        const before = text().length;
        execFileSync('stty', ['-F', tty(), 'rows', '12', 'cols', '40']);
        await eventually('the new size', () => {
          const [last = ''] = text().slice(before).split('\u001b[H').slice(-1);
          // oxlint-disable-next-line no-control-regex -- the sequences that clear the rest of a line or screen
          const lines = last.split(/\r*\n/).map((line) => line.replace(/\u001b\[[A-Z]/g, ''));
          return lines.length > 1 && lines.length <= 12 && lines.every((line) => line.length <= 40) ? true : undefined;
        });
        const end = ended(child);
        child.stdin?.write('q');
        expect(await end).toBe(0);
        expect(text().trimEnd().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
      } finally {
        child.kill('SIGKILL');
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

test.skipIf(!existsSync(SCRIPT))(
  'a network that goes away before the first look ends it with an error, and the terminal is as it was',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'subcloud-top-'));
    try {
      await using network = await startTestNetwork();
      const { child, text } = inTerminal({ ...network, url: 'http://127.0.0.1:1' }, folder);
      expect(await ended(child)).toBe(1);
      const left = text().lastIndexOf('\u001b[?1049l');
      expect(left).toBeGreaterThan(-1);
      expect(text().indexOf('error:')).toBeGreaterThan(left);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

test('where the output is no terminal it prints one picture; with --json documents', async () => {
  await using network = await startTestNetwork();
  const node = await network.node({ name: 'printed', models: ['served'] });
  await network.serving('global', node);
  const run = (...args: string[]): Promise<{ code: number | null; out: string }> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [CLI, 'top', '--url', network.url, ...args], {
        env: { ...process.env, SUBCLOUD_TOKEN: adminToken(network) },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let out = '';
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      child.once('close', (code) => resolve({ code, out }));
    });
  const printed = await run();
  expect(printed.code).toBe(0);
  expect(printed.out).toMatch(/^POOL .*REQ\/S/m);
  expect(printed.out).toMatch(/^printed .*yes/m);
  expect(printed.out).not.toContain('\u001b');
  const once = await run('--once', '--json');
  expect(once.code).toBe(0);
  const lines = once.out.trim().split('\n');
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    windowMs: expect.any(Number) as number,
    nodes: [{ name: 'printed' }],
  });
  expect((await run('--sort', 'colour')).code).toBe(1);
});
