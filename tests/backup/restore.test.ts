/**
 * A network is lost with its disk and put back from a backup: agents return, callers' keys hold, and nothing that was
 * withdrawn after the backup comes back without being named. Everything through the commands that an operator types.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type Client, createClient } from '@subcloud/sdk/client';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { afterAll, expect, test } from 'vitest';
import { startServiceAgent, startUp } from '../crash/processes.ts';

const CLI = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'subcloud-restore-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Told {
  readonly withdrawnAgain: readonly { readonly action: string; readonly subject: string }[];
  readonly undone: readonly { readonly action: string; readonly subject: string }[];
  readonly mayHaveBeenWithdrawn: Readonly<Record<string, readonly string[]>> | null;
  readonly epoch: number;
}

async function command(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SUBCLOUD_')));
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if (child.exitCode === null) await once(child, 'exit');
  return { code: child.exitCode, stdout, stderr };
}

async function chat(url: string, credential: string): Promise<number> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
  });
  await response.text();
  return response.status;
}

const manifest = {
  apiVersion: 'subcloud/v1',
  kind: 'Subcloud',
  metadata: { name: 'kept', owner: 'user:admin' },
  spec: { participation: { mode: 'open', autoJoin: true }, access: { tokens: true } },
};

test('agents return, and what was withdrawn or done since the backup is named', async () => {
  const backup = join(folder, 'network.backup.gz');
  const mirror = join(folder, 'mirror.jsonl');
  await using engine = await startScriptedEngine({ models: ['test-model'] });
  const lost = await startUp(join(folder, 'lost'));
  const { url, apiKey, adminToken } = lost.ready;
  const admin = createClient({ url, credential: adminToken });
  const { joinToken, id: joinId } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
  await using _agent = await startServiceAgent({
    SUBCLOUD_URL: url,
    SUBCLOUD_JOIN_TOKEN: joinToken,
    SUBCLOUD_DATA_DIR: join(folder, 'agent'),
    SUBCLOUD_ENGINES: engine.url,
    SUBCLOUD_CONSENT: '{autoJoin: all}',
    SUBCLOUD_LOG_LEVEL: 'silent',
  });
  await admin.call('applySubcloud', { params: { name: 'kept' }, body: { manifest: JSON.stringify(manifest) } });
  const makeToken = async (client: Client) =>
    client.call('createToken', { params: { name: 'kept' }, body: { principal: 'user:admin' } });
  const [kept, revoked] = [await makeToken(admin), await makeToken(admin)];
  await eventually('the node serves the Subcloud', async () => (await chat(url, kept.token)) === 200, 30_000);

  const made = await command('backup', '--json', '--data', join(folder, 'lost'), '--out', backup);
  expect(made.stderr + String(made.code)).toMatch(/rows\n0$/);
  expect(statSync(backup).mode & 0o777).toBe(0o600);

  // Only now: of the backup's world, one token and the join token end, and a third token comes.
  await admin.call('revokeToken', { params: { name: 'kept', id: revoked.id } });
  await admin.call('revokeJoinToken', { params: { id: joinId } });
  const later = await makeToken(admin);
  expect([await chat(url, revoked.token), await chat(url, later.token)]).toEqual([401, 200]);
  await admin.close();
  copyFileSync(join(folder, 'lost', 'audit', 'mirror.jsonl'), mirror);
  const port = new URL(url).port;
  await lost[Symbol.asyncDispose]();
  rmSync(join(folder, 'lost'), { recursive: true });

  const unsaid = await command('restore', backup, '--data', join(folder, 'found'));
  expect([unsaid.code, existsSync(join(folder, 'found'))]).toEqual([1, false]);
  expect(unsaid.stderr).toContain('--mirror-file');

  const restored = await command('restore', backup, '--json', '--data', join(folder, 'found'), '--mirror-file', mirror);
  expect([restored.code, restored.stderr]).toEqual([0, expect.any(String)]);
  const told = JSON.parse(restored.stdout) as Told;
  expect(told.withdrawnAgain.map(({ subject }) => subject).sort()).toEqual(
    [`join-token:${joinId}`, `token:${revoked.id}`].sort(),
  );
  expect(told.undone.map(({ action, subject }) => `${action} ${subject}`)).toContain(`token.create token:${later.id}`);
  expect(told.mayHaveBeenWithdrawn).toBeNull();

  await using found = await startUp(join(folder, 'found'), ['--port', port]);
  expect(found.ready).toMatchObject({ url, apiKey, adminToken });
  await eventually('the agent is back and serves', async () => (await chat(url, kept.token)) === 200, 60_000);
  expect([await chat(url, revoked.token), await chat(url, later.token), await chat(url, apiKey)]).toEqual([
    401, 401, 200,
  ]);
  const again = createClient({ url, credential: adminToken });
  const { items } = await again.call('listNodes', { query: {} });
  expect(items).toHaveLength(1);
  // Gateways that still have a table of the lost network speak of its version: none of those may pass for a new one.
  const versions = await withClient(found.databaseUrl(), (client) =>
    client.query<{ above: boolean }>('select table_version_reserved >= epoch::bigint * 1000000 as above from network'),
  );
  expect(versions.rows).toEqual([{ above: true }]);
  // What is done from now on is chained to what was restored, and copied again.
  await again.call('createPrincipal', { body: { id: 'user:after' } });
  const copied = readFileSync(join(folder, 'found', 'audit', 'mirror.jsonl'), 'utf8');
  expect(copied).toContain('network.restore');
  expect(copied).toContain('user:after');
  await again.close();

  const listed = await command('restore', backup, '--json', '--data', join(folder, 'other'), '--no-mirror');
  const unknown = (JSON.parse(listed.stdout) as Told).mayHaveBeenWithdrawn;
  expect(unknown).toMatchObject({ 'join tokens': expect.arrayContaining([joinId]), Subclouds: ['kept'] });
  expect([...(unknown?.['tokens'] ?? [])].sort()).toEqual([kept.id, revoked.id].sort());
  expect((JSON.parse(listed.stdout) as Told).epoch).toBeGreaterThan(1);
  // Nobody knows whether the signing key was rotated away since: it is now. Where it was not, by the mirror, it stays.
  const hasNext = (name: string): boolean => existsSync(join(folder, name, 'keys', 'signing-next.pem'));
  expect([hasNext('other'), hasNext('found')]).toEqual([true, false]);
  // A folder with a network in it is never written over.
  const twice = await command('restore', backup, '--data', join(folder, 'other'), '--no-mirror');
  expect([twice.code, twice.stderr]).toEqual([1, expect.stringContaining('not empty')]);

  await damaged(backup, mirror);
}, 240_000);

/** Every cut and every changed byte is found before anything is written; so is a copy of the log that was touched. */
async function damaged(backup: string, mirror: string): Promise<void> {
  const { verifyBackup } = await import('@subcloud/control/backup/read-backup');
  const { entriesAfter } = await import('@subcloud/control/backup/audit-mirror');
  const { header } = await verifyBackup(backup);
  const whole = gunzipSync(readFileSync(backup));
  const broken = join(folder, 'broken.gz');
  const step = Math.max(1, Math.floor(whole.byteLength / 40));
  for (let at = 0; at < whole.byteLength; at += step) {
    writeFileSync(broken, gzipSync(whole.subarray(0, at)));
    await expect(verifyBackup(broken), `cut at ${at}`).rejects.toThrow(/cut|no backup/);
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 1;
    writeFileSync(broken, gzipSync(changed));
    await expect(verifyBackup(broken), `changed at ${at}`).rejects.toThrow(/damaged|cut|no backup|version|middle/);
  }
  writeFileSync(broken, readFileSync(backup).subarray(0, -20));
  await expect(verifyBackup(broken)).rejects.toThrow(/cannot be read|cut/);
  writeFileSync(broken, 'no gzip');
  await expect(verifyBackup(broken)).rejects.toThrow(/cannot be read/);

  const lines = readFileSync(mirror, 'utf8').trimEnd().split('\n');
  const since = await entriesAfter(mirror, header.auditSequence, header.auditHash);
  expect(since.length).toBe(lines.length - header.auditSequence);
  const touched = join(folder, 'touched.jsonl');
  const write = (entries: readonly string[]) => writeFileSync(touched, entries.map((line) => `${line}\n`).join(''));
  for (let index = header.auditSequence - 1; index < lines.length; index += 1) {
    write(lines.map((line, at) => (at === index ? line.replace(/token|join|principal|audit/, 'other') : line)));
    if (readFileSync(touched, 'utf8').trimEnd() !== lines.join('\n') && index >= header.auditSequence)
      await expect(entriesAfter(touched, header.auditSequence, header.auditHash)).rejects.toThrow(/does not fit/);
    if (index < header.auditSequence) continue;
    write(lines.filter((_, at) => at !== index));
    // Without its last entries it is what a crash leaves, and that cannot be told apart: only a gap can.
    if (index < lines.length - 1)
      await expect(entriesAfter(touched, header.auditSequence, header.auditHash)).rejects.toThrow(/does not fit/);
  }
  write(lines.slice(0, header.auditSequence - 1));
  await expect(entriesAfter(touched, header.auditSequence, header.auditHash)).rejects.toThrow(/ends before/);
  // A line that a power cut left half written was never acknowledged.
  writeFileSync(touched, `${lines.join('\n')}\n{"sequence":`);
  expect(await entriesAfter(touched, header.auditSequence, header.auditHash)).toEqual(since);
}
