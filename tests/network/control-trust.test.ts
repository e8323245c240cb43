/** What a gateway makes sure of before it says anything to control, and what it does when control is gone or says no. */
import { type Server, type TLSSocket, connect, createServer } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { createServer as createPlainServer } from 'node:http';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CONTROL_ALPN } from '@subcloud/contract/control-channel';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { certificateOfKey, makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { generateSigningKey } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';
import { type ScaledOut, startScaledOut, startWire } from './scaled-out.ts';

let network: ScaledOut;
beforeAll(async () => {
  network = await startScaledOut();
}, 60_000);
afterAll(() => network[Symbol.asyncDispose]());

/** Ends TLS with a key of its own and passes everything on, which no certificate authority would notice. */
async function startMiddle(
  target: number,
): Promise<AsyncDisposable & { readonly port: number; readonly heard: string[] }> {
  const own = makeTlsCertificate(['127.0.0.1'], Date.now());
  const onward = certificateOfKey(generateSigningKey(), Date.now());
  const heard: string[] = [];
  const open = new Set<TLSSocket>();
  const server: Server = createServer(
    {
      cert: own.certificate,
      key: own.privateKey,
      ALPNProtocols: Object.values(CONTROL_ALPN),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (near) => {
      const far = connect({
        port: target,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        ALPNProtocols: [near.alpnProtocol === false ? '' : (near.alpnProtocol ?? '')],
        cert: onward.certificate,
        key: onward.privateKey,
      });
      for (const socket of [near, far]) {
        open.add(socket);
        socket.on('error', () => [near, far].forEach((each) => each.destroy()));
      }
      near.on('data', (part: Buffer) => heard.push(part.toString('latin1')));
      near.pipe(far).pipe(near);
    },
  );
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    heard,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('enrolment is refused, with the reason', () => {
  test('without a token, and with what is no token', async () => {
    await expect(network.gateway('none')).rejects.toThrow(/not enrolled yet.*gateway-token create/);
    await expect(network.gateway('none', { gatewayToken: 'scg_short' })).rejects.toThrow(/no gateway token/);
    const { joinToken } = await network.admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    await expect(network.gateway('none', { gatewayToken: joinToken })).rejects.toThrow(/no gateway token/);
  });

  test('by a network that is not the one of the token, and the token is not sent', async () => {
    const token = await network.token();
    const foreign = `${token.slice(0, token.indexOf('.'))}.${'0'.repeat(64)}`;
    await expect(network.gateway('foreign', { gatewayToken: foreign })).rejects.toThrow(
      /token was not sent.*another network/,
    );
    // The token is still good: nobody has seen it.
    const gateway = await network.gateway('foreign', { gatewayToken: token });
    await eventually('ready', () => gateway.ready());
  });

  test('with a token that has expired, was revoked, was used, or that nobody made', async () => {
    const { gatewayToken: expired } = await network.admin.call('createGatewayToken', { body: { expiresInS: 1 } });
    network.clock.advance(1_500);
    await expect(network.gateway('late', { gatewayToken: expired })).rejects.toThrow(/expired at/);
    const { id, gatewayToken: revoked } = await network.admin.call('createGatewayToken', { body: {} });
    await network.admin.call('revokeGatewayToken', { params: { id } });
    await expect(network.gateway('late', { gatewayToken: revoked })).rejects.toThrow(/was revoked/);
    const token = await network.token();
    await network.gateway('early', { gatewayToken: token });
    await expect(network.gateway('late', { gatewayToken: token })).rejects.toThrow(/has been used/);
    const made = `${token.slice(0, 10)}${'A'.repeat(10)}${token.slice(20)}`;
    await expect(network.gateway('late', { gatewayToken: made })).rejects.toThrow(/no gateway token|No such/);
  });

  test('where something in between ends TLS, and it hears nothing of value', async () => {
    const token = await network.token();
    await using middle = await startMiddle(network.control().gatewaysPort ?? 0);
    const controlUrl = `https://127.0.0.1:${middle.port}`;
    await expect(network.gateway('between', { gatewayToken: token, controlUrl })).rejects.toThrow(
      /token was not sent.*ends TLS/,
    );
    expect(middle.heard.join('')).toContain('/identity');
    expect(middle.heard.join('')).not.toContain('scg_');
    // An enrolled gateway says nothing there either: neither watch nor reports.
    const gateway = await network.gateway('between', { gatewayToken: token });
    await eventually('ready', () => gateway.ready());
    await gateway.stop();
    middle.heard.length = 0;
    const moved = await network.gateway('between', { controlUrl });
    await eventually('it was asked who it is', () => middle.heard.join('').includes('/identity'));
    expect(moved.ready()).toBe(false);
    expect(middle.heard.join('')).not.toContain('/internal/');
  });

  test('by what speaks no TLS, or another TLS', async () => {
    const token = await network.token();
    const plain = createPlainServer((_request, response) => response.end('hello'));
    await new Promise<void>((resolve) => void plain.listen(0, '127.0.0.1', resolve));
    const own = makeTlsCertificate(['127.0.0.1'], Date.now());
    const other = createServer({ cert: own.certificate, key: own.privateKey, ALPNProtocols: ['h2'] }, (socket) =>
      socket.on('error', () => undefined),
    );
    await new Promise<void>((resolve) => void other.listen(0, '127.0.0.1', resolve));
    for (const [server, reason] of [
      [plain, /speaks no TLS/],
      [other, /no Subcloud control/],
    ] as const) {
      const controlUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      await expect(network.gateway('lost', { gatewayToken: token, controlUrl })).rejects.toThrow(reason);
      server.close();
    }
  });

  test('with options that contradict each other', async () => {
    const token = await network.token();
    await expect(network.gateway('odd', { gatewayToken: token, controlDir: '/nowhere' })).rejects.toThrow(/two ways/);
    await expect(network.gateway('odd', { gatewayToken: token, host: '0.0.0.0' })).rejects.toThrow(/--public-url/);
  });
});

test('a partition that outlasts the lease ends in 503 platform.table_stale, and healing it ends that', async () => {
  await using wire = await startWire(network.control().gatewaysPort ?? 0);
  const gateway = await network.gateway('partitioned', {
    gatewayToken: await network.token(),
    controlUrl: `https://127.0.0.1:${wire.port}`,
  });
  await eventually('ready', () => gateway.ready());
  await network.agent('agent-p', gateway);
  const client = new OpenAI({ apiKey: network.apiKey, baseURL: `${gateway.url}/v1`, maxRetries: 0 });
  const chat = async (): Promise<string> => {
    try {
      const messages = [{ role: 'user' as const, content: 'hello' }];
      return String((await client.chat.completions.create({ model: 'test-model', messages })).choices.length);
    } catch (error) {
      return error instanceof OpenAI.APIError ? String(error.code) : 'no answer';
    }
  };
  await eventually('served', async () => (await chat()) === '1');

  wire.swallow();
  // Inside the lease nobody notices. Less than three heartbeats of the agent at a time, so that its link lives on.
  for (let passedMs = 0; passedMs < TABLE_LEASE_MS - 15_000; passedMs += 5_000) {
    network.clock.advance(5_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // An agent that was not heard in time on a busy machine links again by itself: the table at hand is enough for that.
  await eventually('served inside the lease', async () => (await chat()) === '1');
  for (let passedMs = 0; passedMs < 20_000; passedMs += 5_000) {
    network.clock.advance(5_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(await chat()).toBe('platform.table_stale');
  expect(gateway.ready()).toBe(false);
  // Control has waited exactly for that: what is withdrawn now is in force.
  const { id } = await network.admin.call('createKey', { body: { principal: 'user:admin' } });
  expect((await network.admin.call('revokeKey', { params: { id } })).outstanding).not.toContainEqual(
    expect.objectContaining({ gateway: gateway.id }),
  );

  wire.heal();
  await eventually('served again', async () => {
    network.clock.advance(500);
    return (await chat()) === '1';
  });
}, 90_000);
