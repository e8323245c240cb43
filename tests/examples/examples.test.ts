/** The examples as a reader would use them: applied from their files, with real nodes and real traffic. */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseManifest } from '@subcloud/policy/parse-manifest';
import { runPolicyTests } from '@subcloud/policy/policy-tests';
import { eventually } from '@subcloud/testkit/eventually';
import { LLAMA_CPP, recorded } from '@subcloud/testkit/recorded-engines';
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
      expect(parsed).toMatchObject({
        ok: false,
        errors: [
          { code: 'not_enforced', path: `${waits}.ttft` },
          { path: `${waits}.tpot` },
          { path: `${waits}.onBreach` },
        ],
      });
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

  test('multimodal: models that see are in, and requests with images go to them alone, in every pool', async () => {
    await network.principal('org:acme');
    const model = 'Qwen3-VL-8B-Instruct';
    const consent = { autoJoin: { owners: ['org:acme'] } };
    const seeing = await network.node({
      name: 'seeing',
      models: [model],
      engine: { modalities: { [model]: ['text', 'image'] } },
      consent,
    });
    const blind = await network.node({ name: 'blind', models: [model], consent });
    const own = await network.node({ name: 'own-word', answers: LLAMA_CPP, consent });
    const answer = recorded('vllm/chat-image.json');
    await seeing.engine.set({
      kind: 'custom',
      answer: (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) });
        response.end(answer);
      },
    });
    await apply('multimodal');
    for (const node of [seeing, own]) await network.serving('multimodal', node);
    for (const node of [seeing, blind]) await network.serving('global', node);
    const out = await network.admin.call('explainNode', { params: { name: 'multimodal', node: blind.id } });
    expect(out).toMatchObject({ eligible: false });

    const look = (part: OpenAI.ChatCompletionContentPart, pool = '') =>
      openai(network.apiKey, pool).chat.completions.create({
        model,
        messages: [{ role: 'user', content: [{ type: 'text', text: 'What is in this picture?' }, part] }],
      });
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } } as const;
    const before = blind.served.length;
    for (let round = 0; round < 6; round++) {
      for (const pool of ['', '/s/multimodal']) expect(await look(image, pool)).toEqual(JSON.parse(answer));
    }
    expect(blind.served.length).toBe(before);
    expect(seeing.engine.requests.at(-1)?.body).toMatchObject({ messages: [{ content: [{ type: 'text' }, image] }] });
    // Words alone may go to either.
    await eventually('the other one is asked, too', async () => {
      await ask(openai(network.apiKey), model);
      return blind.served.length > before;
    });

    const sound = { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } } as const;
    await expect(look(sound)).rejects.toMatchObject({
      status: 400,
      code: 'client.unsupported_operation',
      param: 'messages',
    });
    const llama = (await openai(network.apiKey, '/s/multimodal').models.list()).data.map(({ id }) => id);
    expect(llama.length).toBeGreaterThan(1);
    // It is away, and the only one that sees: waiting may help, so this is no 400.
    await seeing.stop();
    await eventually('the link is gone', async () => {
      const error = await look(image).then(
        () => undefined,
        (caught: unknown) => caught as { status: number },
      );
      return error?.status === 503;
    });
  });
});
