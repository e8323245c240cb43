/** examples/healthcare as its README says it, command by command, with a real node and real traffic. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestNetwork } from '@subcloud/testkit/test-network';
import OpenAI from 'openai';
import { expect, test } from 'vitest';
import { commandLine } from '../network/run-command.ts';

const MODEL = 'meta-llama/Llama-3.1-8B-Instruct';
const folder = fileURLToPath(new URL('../../examples/healthcare/', import.meta.url));
const manifest = join(folder, 'subcloud.yaml');
const DIGEST = /digest: (sha256:[0-9a-f]{64})/.exec(readFileSync(manifest, 'utf8'))?.[1] ?? '';

test('healthcare: audited weights on an audited node serve the clinic and nobody else, until an audit is taken back', async () => {
  await using network = await startTestNetwork();
  const keys = mkdtempSync(join(tmpdir(), 'subcloud-healthcare-'));
  const { adminToken } = JSON.parse(readFileSync(join(network.dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
  };
  const admin = commandLine(network, adminToken);
  const keyOf = async (principal: string): Promise<string> =>
    (await admin.json<{ key: string }>('key', 'create', '--principal', principal)).key;
  for (const id of ['user:doctor', 'user:hoster', 'user:stranger']) await admin.json('principal', 'create', id);
  const doctorKey = await keyOf('user:doctor');
  const doctor = commandLine(network, doctorKey);
  const hoster = commandLine(network, await keyOf('user:hoster'));
  await doctor.json('org', 'create', 'clinic');
  const { joinToken } = await hoster.json<{ joinToken: string }>('join-token', 'create', '--operator', 'user:hoster');
  const audited = await network.node({ name: 'audited', joinToken, models: [MODEL] });
  const other = await network.node({ name: 'other', joinToken, models: [MODEL] });
  for (const node of [audited, other]) await network.serving('global', node);

  // 1: the owner applies it and invites both nodes; their operator says yes.
  await doctor.json('apply', '-f', manifest);
  for (const node of [audited, other]) {
    await doctor.json('member', 'invite', 'healthcare', node.id);
    await hoster.json('member', 'accept', 'healthcare', node.name);
  }
  const explained = async (node: string): Promise<readonly string[]> => {
    const { clauses } = await doctor.json<{ clauses: { clause: string; pass: boolean }[] }>(
      'explain',
      'healthcare',
      node,
    );
    return clauses.flatMap(({ clause, pass }) => (pass ? [] : [clause])).sort();
  };
  expect(await explained(audited.id)).toEqual(['models.allow', 'nodes.trust.level']);

  // 2: the auditor has looked at one of the machines, at the weights on it, and at the weights as such.
  const keyFile = join(keys, 'medcert.pem');
  await admin.json('attester', 'create', 'medcert', '--facts', 'trustLevel,models,audit', '--key-file', keyFile);
  const signing = ['--issuer', 'medcert', '--key', keyFile, '--expires', '365d'];
  const models = JSON.stringify([
    { id: MODEL, digest: DIGEST, quantization: null, modalities: null, contextLength: null },
  ]);
  await admin.json('node', 'attest', 'audited', 'trustLevel', 'audited', ...signing);
  await admin.json('node', 'attest', 'audited', 'models', models, ...signing);
  const { claim } = await admin.json<{ claim: { id: string } }>('node', 'attest', '--digest', DIGEST, ...signing);
  await network.serving('healthcare', audited);
  expect(await explained(other.id)).toEqual(['models.allow', 'nodes.trust.level']);

  // 3: whoever is in the organisation is served, by the audited node alone; nobody else learns that it exists.
  const openai = (apiKey: string): OpenAI =>
    new OpenAI({ apiKey, baseURL: `${network.url}/s/healthcare/v1`, maxRetries: 0 });
  const ask = (apiKey: string) =>
    openai(apiKey).chat.completions.create({ model: MODEL, messages: [{ role: 'user', content: 'hello' }] });
  for (let round = 0; round < 5; round += 1)
    expect((await ask(doctorKey)).choices[0]?.message.content).toContain('audited');
  expect((await doctor('chat', 'healthcare', 'hello', '--model', MODEL)).stdout).toContain('audited');
  await expect(ask(await keyOf('user:stranger'))).rejects.toMatchObject({ status: 404 });
  await expect(ask(await keyOf('user:hoster'))).rejects.toMatchObject({ status: 404 });

  // 4: the audit is taken back, and nothing is left that may serve.
  await admin.json('claim', 'revoke', claim.id);
  await expect(ask(doctorKey)).rejects.toMatchObject({ status: 503, code: 'routing.no_eligible_node' });
  await eventually('it is suspended', async () => (await explained(audited.id)).includes('models.allow'));
  expect(other.served.filter(({ pool }) => pool === 'healthcare')).toEqual([]);
  rmSync(keys, { recursive: true });
});
