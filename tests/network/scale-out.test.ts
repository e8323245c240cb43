/** The watch between machines: control and its gateways meet over mutual TLS alone, and each proves itself to the other. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CONTROL_ALPN, CONTROL_PATHS } from '@subcloud/contract/control-channel';
import { importSigningKey } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';
import { ask } from './gateway-port.ts';
import { commandLineOf } from './run-command.ts';
import { type ScaledOut, startScaledOut } from './scaled-out.ts';

const question = { model: 'test-model', messages: [{ role: 'user' as const, content: 'hello' }] };

function openai(url: string, apiKey: string): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 });
}

describe('two gateways on machines of their own', () => {
  let network: ScaledOut;
  beforeAll(async () => {
    network = await startScaledOut();
  }, 60_000);
  afterAll(() => network[Symbol.asyncDispose]());

  test('an OpenAI client is served through each, and the agent links to both', async () => {
    const first = await network.gateway('gateway-1', { gatewayToken: await network.token() });
    const second = await network.gateway('gateway-2', { gatewayToken: await network.token() });
    await eventually('both are ready', () => first.ready() && second.ready());
    await network.agent('agent-1', first);
    await eventually('the agent has linked to the gateway that only its document names', () => {
      network.clock.advance(1_000);
      return second.links() === 1;
    });
    for (const gateway of [first, second]) {
      const client = openai(gateway.url, network.apiKey);
      await eventually('served', async () => {
        const answer = await client.chat.completions.create(question);
        return answer.choices[0]?.message.content !== undefined;
      });
      const stream = await client.chat.completions.create({ ...question, stream: true });
      let pieces = 0;
      for await (const chunk of stream) pieces += chunk.choices.length;
      expect(pieces).toBeGreaterThan(0);
    }
    // Callers reach the control API through a gateway of another machine too.
    const response = await fetch(`${second.url}/api/v1/gateways`, {
      headers: { authorization: `Bearer ${network.adminToken}` },
    });
    const { items } = (await response.json()) as { items: { id: string; by: string; watching: boolean }[] };
    expect(items.map(({ id, by, watching }) => ({ id, by, watching }))).toEqual(
      [first.id, second.id].toSorted().map((id) => ({ id, by: 'tls', watching: true })),
    );
    expect((await fetch(`${second.url}/docs`)).status).toBe(200);
    // Usage of both arrived, each under its own gateway's id.
    await eventually('usage is stored', async () => {
      const { items: records } = await network.admin.call('listUsage', { query: {} });
      return records.length > 0;
    });
  }, 60_000);

  test('on the machine of control, the line that joins a node names a gateway', async () => {
    const gateway = await network.gateway('gateway-5', { gatewayToken: await network.token() });
    await eventually('ready', () => gateway.ready());
    const here = commandLineOf({ SUBCLOUD_DATA: join(network.folder, 'control') }, network.clock);
    const gateways = await here.json<{ url: string; watching: boolean }[]>('gateway', 'list');
    const urls = gateways.flatMap(({ url, watching }) => (watching ? [url] : []));
    const { stdout, exitCode } = await here('join-token', 'create');
    expect(exitCode).toBe(0);
    expect(urls).toContain(/--join (\S+) --token scj_/.exec(stdout)?.[1]);

    // Who may not list gateways gets the token all the same: it is shown once.
    await network.admin.call('createPrincipal', { body: { id: 'user:operator' } });
    const { key } = await network.admin.call('createKey', { body: { principal: 'user:operator' } });
    const env = { SUBCLOUD_DATA: join(network.folder, 'control'), SUBCLOUD_TOKEN: key };
    const operator = commandLineOf(env, network.clock);
    expect((await operator('gateway', 'list')).exitCode).toBe(1);
    expect(await operator('join-token', 'create')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('--join https://GATEWAY:7700 --token scj_') as string,
    });
    expect(await operator.json('join-token', 'create')).toMatchObject({ operator: 'user:operator' });
  }, 60_000);

  test('control restarts inside the lease and no caller notices', async () => {
    const gateway = await network.gateway('gateway-3', { gatewayToken: await network.token() });
    await eventually('ready', () => gateway.ready());
    await network.agent('agent-3', gateway);
    const client = openai(gateway.url, network.apiKey);
    await eventually('served', async () => (await client.chat.completions.create(question)).id !== '');
    let running = true;
    const failures: unknown[] = [];
    let answers = 0;
    const callers = Array.from({ length: 3 }, async () => {
      while (running)
        await client.chat.completions.create(question).then(
          () => (answers += 1),
          (error: unknown) => failures.push(error),
        );
    });
    await network.restartControl();
    const before = answers;
    await eventually('answers go on', () => answers > before + 20);
    await eventually('the watch is back', async () => {
      network.clock.advance(500);
      const { items } = await network.admin.call('listGateways', { query: {} });
      return items.find(({ id }) => id === gateway.id)?.watching === true;
    });
    running = false;
    await Promise.all(callers);
    expect(failures).toEqual([]);
  }, 60_000);

  test('a gateway that was removed is cut, serves nobody, never comes back, and its lease is named to its end', async () => {
    const gateway = await network.gateway('gateway-4', { gatewayToken: await network.token() });
    await eventually('ready', () => gateway.ready());
    const withdrawal = await network.admin.call('removeGateway', { params: { id: gateway.id } });
    expect(withdrawal).toMatchObject({ complete: false, outstanding: [{ gateway: gateway.id }] });
    await eventually('it serves nobody', () => {
      network.clock.advance(100);
      return !gateway.ready();
    });
    // Nothing that others withdraw is said to be in force before that lease has ended.
    const { id } = await network.admin.call('createKey', { body: { principal: 'user:admin' } });
    const late = await network.admin.call('revokeKey', { params: { id } });
    expect(late.outstanding.map(({ gateway: name }) => name)).toEqual([gateway.id]);
    await gateway.stop();
    const again = await network.gateway('gateway-4');
    await network.clock.sleep(0);
    for (let step = 0; step < 5; step += 1) {
      network.clock.advance(500);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(again.ready()).toBe(false);
    const { items } = await network.admin.call('listGateways', { query: {} });
    expect(items.find((item) => item.id === gateway.id)).toMatchObject({ watching: false });
    // Nor with a fresh token: its key is known.
    const key = importSigningKey(readFileSync(join(network.folder, 'gateway-4', 'gateway.pem'), 'utf8'));
    const token = (await network.token()).split('.')[0];
    const answer = await ask(
      network.control().gatewaysPort ?? 0,
      { key, alpn: CONTROL_ALPN.identity },
      { path: CONTROL_PATHS.enrol, body: { token, gateway: gateway.id } },
    );
    expect(answer).toMatchObject({ status: 403, body: expect.stringContaining('never returns') as string });
  }, 60_000);
});
