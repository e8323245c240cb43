import { newSecret } from '@subcloud/kit/secrets';
import { codeOf, credentialRow, poolRow, startTestGateway } from '@subcloud/testkit/test-gateway';
import { expect, test } from 'vitest';

test('a pool is named by host too, and all names given must be equal before anything is looked up', async () => {
  await using t = await startTestGateway({ config: { domain: 'ai.example' } });
  await t.publish([poolRow('red'), poolRow('blue')]);
  const node = await t.node({ pools: ['global', 'red'] });
  const ask = (host: string, options: { path?: string; headers?: Record<string, string> } = {}) =>
    t.call({ ...options, headers: { ...options.headers, host } });

  for (const host of ['red.ai.example', 'RED.ai.EXAMPLE:7700', 'red.ai.example.'])
    expect((await ask(host)).headers['x-subcloud'], host).toBe('red');
  for (const host of ['ai.example', 'red.example', 'redai.example', '127.0.0.1:7700', 'red.ai.example.evil'])
    expect((await ask(host)).headers['x-subcloud'], host).toBe('global');
  expect((await ask('red.ai.example', { path: '/s/red/v1/chat/completions' })).status).toBe(200);
  const requests = node.requests.length;

  for (const [path, header] of [
    ['/s/blue/v1/chat/completions', undefined],
    [undefined, 'blue'],
    ['/s/red/v1/chat/completions', 'blue'],
    // Neither exists, and that is not what is said.
    ['/s/absent/v1/chat/completions', undefined],
  ]) {
    const headers = header === undefined ? {} : { 'x-subcloud': header };
    const reply = await ask('red.ai.example', { ...(path === undefined ? {} : { path }), headers });
    expect(codeOf(reply)).toBe('client.conflicting_pools');
    expect(reply.status).toBe(400);
  }
  expect(codeOf(await ask('a.b.ai.example'))).toBe('client.invalid_request');
  expect(codeOf(await ask('absent.ai.example'))).toBe('client.not_found');
  expect(node.requests.length).toBe(requests);
});

test('a range of addresses is asked of the connection, and what a caller writes of its own address admits nobody', async () => {
  await using t = await startTestGateway();
  const key = newSecret('account');
  await t.publish([
    credentialRow(key, { principal: 'user:bob' }),
    poolRow('inside', { access: { tokens: false, whitelist: { principals: [], cidrs: ['10.0.0.0/8'] } } }),
    poolRow('named', {
      access: { tokens: false, whitelist: { principals: ['user:bob'], cidrs: ['10.0.0.0/8'] } },
    }),
    poolRow('local', { access: { tokens: false, whitelist: { principals: [], cidrs: ['127.0.0.0/8', '::1/128'] } } }),
  ]);
  await t.node({ pools: ['inside', 'named', 'local'] });
  const ask = (pool: string, headers: Record<string, string> = {}) =>
    t.call({ key, path: `/s/${pool}/v1/chat/completions`, headers });
  expect((await ask('local')).status).toBe(200);
  const forged = {
    'x-forwarded-for': '10.0.0.1',
    forwarded: 'for=10.0.0.1',
    'x-real-ip': '10.0.0.1',
    'x-client-ip': '10.0.0.1',
    'true-client-ip': '10.0.0.1',
    'cf-connecting-ip': '10.0.0.1',
  };
  for (const headers of [{}, forged]) {
    expect(codeOf(await ask('inside', headers))).toBe('client.not_found');
    expect(codeOf(await ask('named', headers)), 'who is named may know why').toBe('policy.access_denied');
  }
});
