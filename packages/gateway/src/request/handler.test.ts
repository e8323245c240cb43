import { MAX_BODY_BYTES } from '@subcloud/contract/inference';
import { newSecret } from '@subcloud/kit/secrets';
import { eventually } from '@subcloud/testkit/eventually';
import {
  COMPLETION,
  MODEL,
  codeOf,
  credentialRow,
  memberRow,
  poolRow,
  readReply,
  sendJson,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';

describe('the way of a request', () => {
  test('a request is answered by a member of its pool, with the headers that say where it went', async () => {
    await using t = await startTestGateway();
    const node = await t.node({});
    const reply = await t.call({ headers: { 'x-request-id': 'mine' } });
    expect(JSON.parse(reply.text)).toEqual(COMPLETION);
    expect(reply.status).toBe(200);
    expect(reply.headers['x-request-id']).toMatch(/^req_/);
    expect(reply.headers['x-client-request-id']).toBe('mine');
    expect(reply.headers['x-subcloud']).toBe('global');
    expect(reply.headers['x-subcloud-revision']).toBe('1');
    expect(reply.headers['x-subcloud-node']).toMatch(/^n-[0-9a-f]{16}$/);
    expect(reply.headers['content-security-policy']).toBe('sandbox');
    expect(reply.headers['x-content-type-options']).toBe('nosniff');
    expect(reply.headers['server-timing']).toMatch(/^gateway;dur=[\d.]+, node;dur=[\d.]+$/);
    expect(node.requests).toHaveLength(1);
  });

  test('only listed headers reach a node, and only listed headers of a node reach the caller', async () => {
    await using t = await startTestGateway();
    const node = await t.node({
      handler: (stream) =>
        sendJson(stream, 200, COMPLETION, {
          'set-cookie': 'a=b',
          location: 'http://elsewhere',
          server: 'engine',
          'access-control-allow-origin': '*',
          'x-subcloud-node': 'forged',
        }),
    });
    const reply = await t.call({
      headers: {
        cookie: 'session=1',
        'x-forwarded-for': '1.2.3.4',
        forwarded: 'for=1.2.3.4',
        accept: 'application/json',
        'openai-organization': 'org',
        'x-subcloud-table': '99',
      },
    });
    expect(Object.keys(node.requests[0]?.headers ?? {}).sort()).toEqual([
      ':authority',
      ':method',
      ':path',
      ':scheme',
      'accept',
      'content-length',
      'content-type',
      'x-request-id',
      'x-subcloud-model',
      'x-subcloud-pool',
      'x-subcloud-receipt-salt',
      'x-subcloud-table',
    ]);
    expect(node.requests[0]?.headers['x-subcloud-table']).toBe(String(t.control.version()));
    expect(Object.keys(reply.headers).sort()).toEqual([
      'connection',
      'content-length',
      'content-security-policy',
      'content-type',
      'date',
      'server-timing',
      'x-content-type-options',
      'x-request-id',
      'x-subcloud',
      'x-subcloud-node',
      'x-subcloud-receipt-salt',
      'x-subcloud-revision',
    ]);
    expect(reply.headers['x-subcloud-node']).not.toBe('forged');
  });

  test('the models of a pool are those that its members offer there', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('eu')]);
    await t.node({ pools: ['global'], models: ['b', 'a'] });
    await t.node({ pools: ['eu'], models: ['c'] });
    const ids = async (path: string): Promise<string[]> =>
      (JSON.parse((await t.call({ method: 'GET', path })).text) as { data: { id: string }[] }).data.map(({ id }) => id);
    expect(await ids('/v1/models')).toEqual(['a', 'b']);
    expect(await ids('/s/eu/v1/models')).toEqual(['c']);
  });
});

describe('which pool', () => {
  const token = newSecret('subcloud');
  const owner = newSecret('account');

  /** path, header, credential -> pool or error code */
  test.each([
    [undefined, undefined, 'account', 'global'],
    ['open', undefined, 'account', 'open'],
    [undefined, 'open', 'account', 'open'],
    ['open', 'open', 'account', 'open'],
    ['open', 'global', 'account', 'client.conflicting_pools'],
    ['ghost', 'open', 'account', 'client.conflicting_pools'],
    ['ghost', 'phantom', 'none', 'client.conflicting_pools'],
    ['ghost', undefined, 'account', 'client.not_found'],
    ['closed', undefined, 'account', 'client.not_found'],
    ['closed', undefined, 'owner', 'policy.access_denied'],
    ['closed', undefined, 'token', 'closed'],
    [undefined, undefined, 'token', 'closed'],
    ['open', undefined, 'token', 'client.not_found'],
    [undefined, 'global', 'token', 'client.not_found'],
    ['OPEN', undefined, 'account', 'client.not_found'],
    [undefined, 'OPEN', 'account', 'client.invalid_request'],
    ['closed', undefined, 'none', 'client.unauthenticated'],
    [undefined, undefined, 'unknown', 'client.unauthenticated'],
  ] as const)('path %s, header %s, credential %s: %s', async (path, header, credential, expected) => {
    await using t = await startTestGateway();
    await t.publish([
      poolRow('open'),
      poolRow('closed', { access: { tokens: true } }),
      credentialRow(token, { kind: 'subcloud', pool: 'closed' }),
      credentialRow(owner, { principal: 'user:owner' }),
    ]);
    const node = await t.node({ pools: ['global', 'open', 'closed'] });
    const keys = { account: t.key, token, owner, none: null, unknown: newSecret('account') };
    const reply = await t.call({
      key: keys[credential],
      path: `${path === undefined ? '' : `/s/${path}`}/v1/chat/completions`,
      headers: header === undefined ? {} : { 'x-subcloud': header },
    });
    if (expected.includes('.')) {
      expect(codeOf(reply)).toBe(expected);
      expect(node.requests).toEqual([]);
    } else {
      expect(reply.status).toBe(200);
      expect(reply.headers['x-subcloud']).toBe(expected);
      expect(node.requests[0]?.headers['x-subcloud-pool']).toBe(expected);
    }
  });

  test('a header that stands twice is refused, even where both say the same', async () => {
    await using t = await startTestGateway();
    const reply = await t.call({ headers: { 'x-subcloud': ['global', 'global'] } });
    expect(codeOf(reply)).toBe('client.conflicting_pools');
  });

  test('a hidden pool and one that does not exist answer with the same bytes and headers', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('closed', { access: { tokens: true } })]);
    await t.node({ pools: ['closed'] });
    for (const path of ['v1/chat/completions', 'v1/models']) {
      const method = path === 'v1/models' ? 'GET' : 'POST';
      const hidden = await t.call({ path: `/s/closed/${path}`, method });
      const absent = await t.call({ path: `/s/absent/${path}`, method });
      expect(hidden.text).toBe(absent.text);
      expect(hidden.status).toBe(absent.status);
      const visible = ({ 'x-request-id': _id, date: _date, ...rest }: typeof hidden.headers): object => rest;
      expect(visible(hidden.headers)).toEqual(visible(absent.headers));
    }
  });

  test('a credential that has expired or been revoked opens nothing', async () => {
    await using t = await startTestGateway();
    await t.node({});
    const old = newSecret('account');
    await t.publish([credentialRow(old, { expiresAt: Date.now() - 1 })]);
    expect(codeOf(await t.call({ key: old }))).toBe('client.unauthenticated');
    await t.publish([[credentialRow(t.key)[0], null]]);
    expect(codeOf(await t.call())).toBe('client.unauthenticated');
  });

  test('an answer under way ends visibly when its credential is revoked', async () => {
    await using t = await startTestGateway();
    await t.node({
      handler: (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
        stream.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
      },
    });
    const reading = readReply(await t.open({ body: { model: MODEL, stream: true } }).answer);
    await t.publish([[credentialRow(t.key)[0], null]]);
    const reply = await reading;
    expect(reply.text).toContain('"code":"client.unauthenticated"');
    expect(reply.broken).toBe(true);
    expect(reply.text).not.toContain('[DONE]');
  });
});

describe('the body', () => {
  test.each([
    ['{"model":"test-model","MODEL":"other"}', 'client.ambiguous_body'],
    ['{"model":"test-model","model":"other"}', 'client.ambiguous_body'],
    ['{"model":"test-model","mod\\u0065l":"other"}', 'client.ambiguous_body'],
    ['{"model":"test-model","stream":true,"Stream":false}', 'client.ambiguous_body'],
    ['{"model":"test-model","stream":"yes"}', 'client.invalid_request'],
    ['{"model":"test-model","stream":true,"stream_options":3}', 'client.invalid_request'],
    ['{"model":"test-model","subcloud":{"only":[]}}', 'client.invalid_request'],
    ['{"model":7}', 'client.model_required'],
    ['{}', 'client.model_required'],
    ['[1]', 'client.invalid_body'],
    ['{"model":"test-model"', 'client.invalid_body'],
    ['{"model":"a\\r\\nx: y"}', 'routing.unknown_model'],
  ])('%s is refused: %s', async (body, code) => {
    await using t = await startTestGateway();
    const node = await t.node({});
    expect(codeOf(await t.call({ body }))).toBe(code);
    expect(node.requests).toEqual([]);
  });

  test.each([
    [{ 'content-type': 'text/plain' }, 'client.unsupported_media_type'],
    [{ 'content-encoding': 'gzip' }, 'client.unsupported_media_type'],
    [{ 'content-length': String(MAX_BODY_BYTES + 1) }, 'client.too_large'],
  ] as const)('headers %j are refused: %s', async (headers, code) => {
    await using t = await startTestGateway();
    const { request, answer } = t.open({ headers: { ...headers } });
    expect(codeOf(await readReply(await answer))).toBe(code);
    request.destroy();
  });

  test('more bytes than the gateway may hold are shed with a time to come back, and the budget recovers', async () => {
    await using t = await startTestGateway({ config: { maxBufferedBytes: 1_048_576 } });
    await t.node({});
    const big = { model: MODEL, text: 'x'.repeat(1_048_576) };
    for (let round = 0; round < 3; round += 1) {
      const reply = await t.call({ body: big });
      expect([codeOf(reply), reply.headers['retry-after']]).toEqual(['capacity.overloaded', '1']);
    }
    for (let round = 0; round < 5; round += 1) {
      expect((await t.call({ body: { model: MODEL, text: 'x'.repeat(900_000) } })).status).toBe(200);
    }
  });

  test('a body that does not come in time is given up', async () => {
    await using t = await startTestGateway({ config: { bodyTimeoutMs: 200 } });
    const { request, answer } = t.open({ headers: { 'content-length': '1000' } });
    expect(codeOf(await readReply(await answer))).toBe('client.invalid_request');
    request.destroy();
  });
});

describe('nobody to serve', () => {
  test('every considered node is counted by its reason, for those who may see the policy', async () => {
    await using t = await startTestGateway();
    const owner = newSecret('account');
    const excluded = { 'nodes.location': 7 };
    await t.publish([poolRow('eu', { candidates: 12, excluded }), credentialRow(owner, { principal: 'user:owner' })]);
    await t.node({ pools: ['eu'], links: false });
    await t.node({ pools: ['eu'], links: false });
    await t.node({ pools: ['eu'], measuredAddress: '127.0.0.9' });
    await t.node({ pools: ['eu'], validUntil: Date.now() - 1 });
    await t.node({ pools: ['eu'], models: ['other'] });
    const path = '/s/eu/v1/chat/completions';
    const seen = JSON.parse((await t.call({ path, key: owner })).text) as { error: object };
    expect(seen.error).toMatchObject({
      code: 'routing.no_eligible_node',
      message: '0 of 12 nodes eligible: 7 nodes.location, 2 offline, 1 address changed, 1 expired, 1 model',
      details: {
        considered: 12,
        reasons: { 'nodes.location': 7, offline: 2, 'address changed': 1, expired: 1, model: 1 },
      },
    });
    const hidden = JSON.parse((await t.call({ path })).text) as { error: object };
    expect(hidden.error).toMatchObject({ message: '0 of 12 nodes eligible', details: { considered: 12 } });
    expect(JSON.stringify(hidden)).not.toContain('location');
  });

  test('a model that the pool does not know is 404, one that is away is 503', async () => {
    await using t = await startTestGateway();
    await t.node({});
    const body = { model: 'mistyped' };
    expect(codeOf(await t.call({ body }))).toBe('routing.unknown_model');
    await t.publish([poolRow('global', { models: ['mistyped'] })]);
    expect(codeOf(await t.call({ body }))).toBe('routing.no_eligible_node');
  });

  test('a node at its concurrency is not picked', async () => {
    await using t = await startTestGateway();
    const node = await t.node({ concurrency: 1, handler: () => {} });
    const first = t.open();
    await eventually('the first is under way', () => node.requests.length === 1);
    const reply = await t.call();
    expect([reply.status, codeOf(reply), reply.headers['retry-after']]).toEqual([429, 'capacity.overloaded', '1']);
    first.request.destroy();
  });

  test('members of other pools never serve, however alone the pool is', async () => {
    await using t = await startTestGateway();
    await t.publish([poolRow('eu')]);
    const outsider = await t.node({ pools: ['global'] });
    const insider = await t.node({ pools: ['eu'] });
    for (let round = 0; round < 20; round += 1) {
      expect((await t.call({ path: '/s/eu/v1/chat/completions' })).status).toBe(200);
    }
    await t.publish([[memberRow('eu', insider.id)[0], null]]);
    expect((await t.call({ path: '/s/eu/v1/chat/completions' })).status).toBe(503);
    expect(outsider.requests).toEqual([]);
    expect(insider.requests).toHaveLength(20);
  });
});
