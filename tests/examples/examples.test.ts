/** The examples as a reader would use them: applied from their files, with real nodes and real traffic. */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseManifest } from '@subcloud/policy/parse-manifest';
import { runPolicyTests } from '@subcloud/policy/policy-tests';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';

const folder = fileURLToPath(new URL('../../examples/', import.meta.url));
const text = (name: string): string => readFileSync(`${folder}${name}/subcloud.yaml`, 'utf8');

describe('every example', () => {
  const names = readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [entry.name] : [],
  );
  /** Refused by the name of what nothing enforces yet; when that changes, the example has to be tried. */
  const waitsFor: Readonly<Record<string, string>> = { 'high-sla': 'spec.sla' };

  test.each(names)('%s is accepted with its tests, or refused by the name of what it waits for', (name) => {
    const parsed = parseManifest(text(name));
    const waits = waitsFor[name];
    if (waits !== undefined) {
      expect(parsed).toMatchObject({ ok: false, errors: [{ code: 'not_enforced', path: waits }] });
      return;
    }
    if (!parsed.ok || parsed.kind !== 'Subcloud') throw new Error(JSON.stringify(parsed));
    const results = runPolicyTests(parsed.manifest.spec, { owner: parsed.manifest.metadata.owner ?? null });
    expect(results.filter(({ pass }) => !pass)).toEqual([]);
    expect(results.length).toBeGreaterThan(0);
  });
});

describe('with real traffic', () => {
  let network: TestNetwork;
  beforeAll(async () => {
    network = await startTestNetwork();
  });
  afterAll(() => network[Symbol.asyncDispose]());

  const openai = (apiKey: string, pool = ''): OpenAI =>
    new OpenAI({ apiKey, baseURL: `${network.url}${pool}/v1`, maxRetries: 0 });
  const ask = (client: OpenAI, model: string) =>
    client.chat.completions.create({ model, messages: [{ role: 'user', content: 'hello' }] });
  const apply = (name: string) =>
    network.admin.call('applySubcloud', { params: { name }, body: { manifest: text(name) } });

  test('team-finetune: the team reaches its model by id and by alias, and nobody else does, in no other pool', async () => {
    await network.principal('org:acme');
    await network.principal('team:acme/ml');
    const node = await network.node({
      name: 'finetune',
      models: ['acme/support-bot', 'acme/other'],
      operator: 'team:acme/ml',
    });
    await network.serving('global', node);
    expect((await openai(network.apiKey).models.list()).data.map(({ id }) => id)).toContain('acme/support-bot');

    await apply('team-finetune');
    await network.admin.call('inviteMember', { params: { name: 'team-finetune' }, body: { node: node.id } });
    await network.serving('team-finetune', node);
    const { token } = await network.admin.call('createToken', { params: { name: 'team-finetune' }, body: {} });

    const byId = await ask(openai(token), 'acme/support-bot');
    const byAlias = await ask(openai(token), 'assistant');
    expect([byId.model, byAlias.model]).toEqual(['acme/support-bot', 'acme/support-bot']);
    expect((await openai(token).models.list()).data.map(({ id }) => id).sort()).toEqual([
      'acme/support-bot',
      'assistant',
    ]);

    await eventually('the global network no longer has the model', async () => {
      const listed = (await openai(network.apiKey).models.list()).data.map(({ id }) => id);
      return !listed.includes('acme/support-bot') && listed.includes('acme/other');
    });
    await expect(ask(openai(network.apiKey), 'acme/support-bot')).rejects.toMatchObject({ status: 404 });
    const stranger = await network.principal('user:stranger');
    await expect(ask(openai(stranger, '/s/team-finetune'), 'acme/support-bot')).rejects.toMatchObject({ status: 404 });
  });

  test('eu-only: a machine in the EU is in when it is measured and attested there, and out of the global network', async () => {
    await network.principal('org:acme');
    const consent = { autoJoin: { owners: ['org:acme'] }, isolation: 'isolate' };
    const berlin = await network.node({ name: 'berlin', address: '127.0.1.1', models: ['eu/model'], consent });
    const austin = await network.node({ name: 'austin', address: '127.0.3.1', models: ['eu/model'], consent });
    await network.serving('global', berlin);
    await network.serving('global', austin);
    await apply('eu-only');
    const stays = await network.admin.call('explainNode', { params: { name: 'eu-only', node: berlin.id } });
    expect(stays).toMatchObject({ eligible: false });

    for (const node of [berlin, austin]) {
      await network.admin.call('createClaim', {
        body: {
          draft: {
            subject: { node: node.id },
            fact: 'location',
            expiresAt: new Date(network.clock.nowMs() + 86_400_000).toISOString(),
            value: { candidates: [{ country: 'DE' }], evidence: 'visited' },
          },
        },
      });
    }
    await network.serving('eu-only', berlin);
    const client = openai(network.apiKey, '/s/eu-only');
    for (let round = 0; round < 5; round++)
      expect((await ask(client, 'eu/model')).choices[0]?.message.content).toContain('berlin');
    for (let round = 0; round < 5; round++)
      expect((await ask(openai(network.apiKey), 'eu/model')).choices[0]?.message.content).toContain('austin');
    const out = await network.admin.call('explainNode', { params: { name: 'eu-only', node: austin.id } });
    expect(out.eligible).toBe(false);
    expect(out.clauses.find(({ clause }) => clause === 'nodes.location')?.seen).toBe('US');
  });
});
