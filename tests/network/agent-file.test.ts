/** A machine with nothing but a Node joins with the one file that the network hands out. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { bundleAgent } from '@subcloud/cli/agent-file/bundle-agent';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { startTestNetwork } from '@subcloud/testkit/test-network';
import { expect, test } from 'vitest';

/** As the kernel counts kilobytes: 100 MB is what an agent may take from a machine that serves models. */
const MAX_RSS_KB = 100_000;

/** In an empty folder and with an empty environment, so that nothing of this project is found by accident. */
function start(folder: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, ['agent.mjs', ...args], {
    cwd: folder,
    env: { HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

test('the file is served with its hash, joins, serves a request and drains, in less than 100 MB', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-agent-file-'));
  try {
    const made = await bundleAgent(join(folder, 'made.mjs'));
    await using network = await startTestNetwork({ control: { agentFile: made.file } });
    const told = await network.admin.call('agentFile', {});
    const answer = await fetch(`${network.url}${told.path}`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(answer.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(told.sha256);
    expect(told).toEqual({ path: '/agent.mjs', sha256: made.sha256, bytes: bytes.byteLength });
    const again = await fetch(`${network.url}/agent.mjs`, { headers: { 'if-none-match': `"${told.sha256}"` } });
    expect(again.status).toBe(304);

    writeFileSync(join(folder, 'agent.mjs'), bytes);
    await using engine = await startScriptedEngine({ models: ['bundled-model'] });
    const { joinToken } = await network.admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    const agent = start(folder, '--join', network.url, '--token', joinToken, '--engine', engine.url);
    const said: string[] = [];
    for (const stream of [agent.stdout, agent.stderr])
      stream?.on('data', (chunk: Buffer) => said.push(chunk.toString()));
    try {
      await eventually('the model is offered', async () => {
        const models = await fetch(`${network.url}/v1/models`, {
          headers: { authorization: `Bearer ${network.apiKey}` },
        });
        if (!(await models.text()).includes('bundled-model')) throw new Error(said.join(''));
        return true;
      });
      const chat = await fetch(`${network.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'bundled-model', messages: [{ role: 'user', content: 'Hello' }] }),
      });
      expect(chat.status, said.join('')).toBe(200);
      await chat.text();
      expect(rssKb(agent.pid ?? 0)).toBeLessThan(MAX_RSS_KB);
    } finally {
      agent.kill('SIGTERM');
    }
    expect((await once(agent, 'exit'))[0]).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the same sources give the same bytes, and a network without the file says so', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-agent-file-'));
  try {
    const [first, second] = [await bundleAgent(join(folder, 'a.mjs')), await bundleAgent(join(folder, 'b.mjs'))];
    expect(second.sha256).toBe(first.sha256);
    await using network = await startTestNetwork();
    await expect(network.admin.call('agentFile', {})).rejects.toMatchObject({ code: 'client.not_found' });
    expect((await fetch(`${network.url}/agent.mjs`)).status).toBe(404);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a Node that is too old is told which it takes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-agent-file-'));
  return bundleAgent(join(folder, 'agent.mjs'))
    .then(async ({ file }) => {
      const code = readFileSync(file, 'utf8');
      // The check itself, as an old Node would run it: it is the first statement of the file.
      writeFileSync(file, code.replace('process.versions.node', "'20.19.0'"));
      const old = start(folder, '--help');
      const said = text(old.stderr as NodeJS.ReadableStream);
      expect((await once(old, 'exit'))[0]).toBe(1);
      expect(await said).toContain('needs Node 22 or newer');
    })
    .finally(() => rmSync(folder, { recursive: true, force: true }));
});

function rssKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
