/** Accounts and their sessions through the real network: first account, sign-in, its limits, forms, cookies, invitations, devices. */
import { join } from 'node:path';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { hashSecret } from '@subcloud/kit/secrets';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Browser, hiddenFields } from './browser.ts';

const PASSWORD = 'a long enough password';
const ANN = 'ann@example.com';
let network: TestNetwork;
let annKey: string;
let before: object;

beforeAll(async () => {
  network = await startTestNetwork();
  before = await network.admin.call('loginOptions');
  const made = await network.admin.call('createFirstAccount', {
    body: { email: 'Ann@Example.com', password: PASSWORD },
  });
  annKey = made.key;
});
afterAll(() => network[Symbol.asyncDispose]());

const rows = <Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> =>
  withClient(network.databaseUrl, async (client) => (await client.query<Row>(text, [...values])).rows);
const sessionOf = (browser: Browser): string => browser.cookies.get('subcloud-session') ?? '';
async function signedIn(email = ANN, password = PASSWORD): Promise<Browser> {
  const browser = new Browser(network.url);
  expect((await browser.signIn(email, password)).status).toBe(303);
  return browser;
}

describe('the first account', () => {
  test('is network admin, and is made once', async () => {
    expect(before).toEqual({ hasAccounts: false, oidc: null });
    expect(await network.client(annKey).call('whoami')).toMatchObject({
      principal: 'user:ann',
      admin: true,
      networkRole: 'admin',
    });
    const again = network.admin.call('createFirstAccount', { body: { email: 'eve@example.com', password: PASSWORD } });
    await expect(again).rejects.toMatchObject({ code: 'client.conflict' });
    const audited = await rows<{ entry: string }>("select entry from audit where entry like '%account.first%'");
    expect(audited.map(({ entry }) => JSON.parse(entry) as object)).toContainEqual(
      expect.objectContaining({ action: 'account.first', outcome: 'done', subject: 'account:user:ann' }),
    );
  });

  test('its password stands in the store as argon2id, and nowhere in clear', async () => {
    const [account] = await rows<{ password_hash: string }>('select password_hash from accounts');
    expect(account?.password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    const all = await rows('select entry as text from audit union all select detail::text from events');
    expect(JSON.stringify(all)).not.toContain(PASSWORD);
  });
});

describe('a session', () => {
  test('is a cookie that no script reads and no other site sends, and only its hash is stored', async () => {
    const browser = new Browser(network.url);
    const { setCookies } = await browser.signIn(ANN, PASSWORD);
    const cookie = setCookies.find((each) => each.startsWith('subcloud-session=')) ?? '';
    expect(cookie).toMatch(/; Path=\/(;|$)/);
    expect(cookie).toContain('HttpOnly');
    expect(cookie).toContain('SameSite=Lax');
    const stored = await rows<{ hash: string }>('select hash from sessions');
    expect(stored.map(({ hash }) => hash)).toContain(hashSecret(sessionOf(browser)));
    expect(JSON.stringify(await rows('select sessions::text from sessions'))).not.toContain(sessionOf(browser));
    expect((await browser.get('/account')).text).toContain('user:ann');
  });

  test('that somebody planted before the sign-in is worth nothing after it', async () => {
    const made = `scs_${'A'.repeat(43)}0000000`;
    const live = sessionOf(await signedIn());
    for (const planted of [made, live]) {
      const victim = new Browser(network.url);
      const form = hiddenFields((await victim.get('/account/sign-in')).text);
      victim.cookies.set('subcloud-session', planted);
      const page = await victim.post('/account/sign-in', { ...form, email: ANN, password: PASSWORD });
      expect(page.status).toBe(303);
      expect(sessionOf(victim)).not.toBe(planted);
      expect((await victim.get('/account')).text).toContain('user:ann');
      const attacker = new Browser(network.url);
      attacker.cookies.set('subcloud-session', planted);
      expect((await attacker.get('/account')).location).toBe('/account/sign-in');
    }
  });

  test('ends by signing out, and after twelve hours without use', async () => {
    const browser = await signedIn();
    const kept = sessionOf(browser);
    expect((await browser.submit('/account', {}, '/account/sign-out')).status).toBe(303);
    const thief = new Browser(network.url);
    thief.cookies.set('subcloud-session', kept);
    expect((await thief.get('/account')).location).toBe('/account/sign-in');

    const idle = await signedIn();
    network.clock.advance(12 * 3_600_000 + 1_000);
    expect((await idle.get('/account')).location).toBe('/account/sign-in');
  });

  test('is bound to this host and to TLS wherever a browser comes from elsewhere, whatever the browser says of itself', async () => {
    const cookies = async (headers: Readonly<Record<string, string>>): Promise<readonly string[]> => {
      const { headers: answered } = await request('http://control/account/sign-in', {
        dispatcher: new Agent({ connect: { socketPath: join(network.dataDir, 'run', 'api.sock') } }),
        headers,
      });
      return [answered['set-cookie'] ?? []].flat();
    };
    // As the gateway tells control of a caller.
    for (const told of [
      { 'x-subcloud-client-address': '198.51.100.7', 'x-subcloud-client-scheme': 'https' },
      { 'x-subcloud-client-address': '127.0.0.1', 'x-subcloud-client-scheme': 'https' },
      { 'x-subcloud-client-address': '198.51.100.7', 'x-subcloud-client-scheme': 'http' },
    ])
      expect(await cookies(told)).toEqual([expect.stringMatching(/^__Host-subcloud-form=.*Secure/)]);
    const { setCookies } = await new Browser(network.url).get('/account/sign-in', {
      'x-subcloud-client-scheme': 'https',
      'x-subcloud-client-address': '198.51.100.7',
    });
    expect(setCookies).toEqual([expect.stringMatching(/^subcloud-form=/)]);
    expect(setCookies[0]).not.toContain('Secure');
  });

  test('means nothing to the API', async () => {
    const browser = await signedIn();
    expect((await browser.get('/api/v1/whoami')).status).toBe(401);
  });
});

describe('a page', () => {
  test('asks nothing from elsewhere, runs no script and stands in no frame', async () => {
    const { headers, text } = await new Browser(network.url).get('/account/sign-in');
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("form-action 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    expect(text).not.toMatch(/<script|https?:\/\/|\son\w+=/);
  });

  test('sends nobody to another site, and shows what it is given as text', async () => {
    for (const next of [
      '//evil.example',
      'https://evil.example',
      '/account/../evil',
      '/\\evil',
      'javascript:alert(1)',
    ]) {
      const browser = new Browser(network.url);
      const page = await browser.submit(`/account/sign-in?next=${encodeURIComponent(next)}`, {
        email: ANN,
        password: PASSWORD,
      });
      expect(page.location).toBe('/account');
    }
    const browser = await signedIn();
    const { text } = await browser.get(`/account/device?code=${encodeURIComponent('"><script>alert(1)</script>')}`);
    expect(text).not.toContain('<script>');
  });

  test('takes a form from itself alone: not from another site, without its token, or with that of another browser', async () => {
    const browser = await signedIn();
    const fields = hiddenFields((await browser.get('/account')).text);
    const refused = [
      await browser.post('/account/sign-out', fields, { origin: 'https://evil.example' }),
      await browser.post('/account/sign-out', fields, { 'sec-fetch-site': 'cross-site' }),
      await browser.post('/account/sign-out', {}),
      await browser.post('/account/sign-out', { form: '0'.repeat(64) }),
      await browser.post('/account/sign-out', fields, { 'content-type': 'text/plain' }),
      await browser.post('/account/sign-out', hiddenFields((await (await signedIn()).get('/account')).text)),
    ];
    expect(refused.map(({ status }) => status)).toEqual([400, 400, 400, 400, 415, 400]);
    expect((await browser.get('/account')).status).toBe(200);
    expect((await browser.post('/account/sign-out', fields)).status).toBe(303);
  });
});

describe('whoever guesses', () => {
  test('learns nothing of who has an account: the same bytes for a wrong password and an unknown address', async () => {
    const tried = async (email: string): Promise<string> => {
      const browser = new Browser(network.url);
      const { status, text } = await browser.signIn(email, 'not the right one');
      return `${status} ${text.replaceAll(/value="[0-9a-f]{64}"/g, 'TOKEN')}`;
    };
    network.clock.advance(3_600_000);
    expect(await tried('ann@example.com')).toBe(await tried('bob@example.com'));
    expect(await tried('ann@example.com')).toContain('403');
  });

  test('is stopped after five attempts, also at once, also for addresses without an account; and others are not', async () => {
    network.clock.advance(3_600_000);
    for (const email of [ANN, 'nobody@example.com']) {
      const answers = await Promise.all(
        Array.from({ length: 12 }, () => new Browser(network.url).signIn(email, 'not the right one')),
      );
      const statuses = answers.map(({ status }) => status).sort((a, b) => a - b);
      expect(statuses).toEqual([...Array<number>(5).fill(403), ...Array<number>(7).fill(429)]);
      expect(answers.find(({ status }) => status === 429)?.headers['retry-after']).toMatch(/^\d+$/);
      // The right password does not help now.
      expect((await new Browser(network.url).signIn(email, PASSWORD)).status).toBe(429);
    }
    network.clock.advance(15 * 60_000 + 1_000);
    await signedIn();
  });

  test('stands in the audit log, for accounts that exist and that do not, with nothing that was typed and no more than so many', async () => {
    network.clock.advance(3_600_000);
    const logged = async () =>
      (await rows<{ entry: string }>("select entry from audit where entry like '%account.signIn%' order by sequence"))
        .map(({ entry }) => JSON.parse(entry) as { actor: string; subject: string; code: string | null; after: object })
        .filter(({ actor }) => actor === 'anonymous');
    const before_ = (await logged()).length;
    const typed = 'my-password-by-mistake@example.com';
    await new Browser(network.url).signIn(ANN, 'not the right one');
    await new Browser(network.url).signIn(typed, 'not the right one');
    const [ann, nobody] = (await logged()).slice(before_);
    const alike = { code: 'client.unauthenticated', after: { from: '127.0.0.1' } };
    expect(ann).toMatchObject({ subject: 'account:user:ann', ...alike });
    expect(nobody).toMatchObject({ subject: 'account:none', ...alike });
    const everything = JSON.stringify(await rows('select entry from audit union all select detail::text from events'));
    for (const secret of [typed, 'not the right one']) expect(everything).not.toContain(secret);

    for (let turn = 0; turn < 80; turn += 1) await new Browser(network.url).signIn(`${turn}@example.com`, 'wrong');
    network.clock.advance(3_600_000);
    await new Browser(network.url).signIn(ANN, 'not the right one');
    // All are counted; how many have an entry depends on how long they took, since a minute brings sixty.
    const said = (await logged()).slice(before_).map(({ after }) => after as { refusalsNotRecorded?: number });
    const left = said.reduce((sum, { refusalsNotRecorded = 0 }) => sum + refusalsNotRecorded, 0);
    expect(said.length + left).toBe(83);
    const metrics = await (await fetch(`${network.url}/metrics/control`)).text();
    expect(metrics).toMatch(/subcloud_api_requests_total\{action="account.signIn",status="403"\} \d/);
    expect(metrics).toMatch(/subcloud_api_requests_total\{action="account.signIn",status="429"\} \d/);
    network.clock.advance(15 * 60_000 + 1_000);
  });
});

describe('an invitation', () => {
  const invite = (body: object) => network.client(annKey).call('createInvitation', { body: body as never });

  test('makes an account that signs in, once, with the role it says', async () => {
    await network.client(annKey).call('createOrg', { body: { id: 'acme' } });
    const { path } = await invite({ email: 'bob@example.com', group: 'org:acme', role: 'member' });
    const browser = new Browser(network.url);
    const fields = { id: 'bob', password: 'the password of bob', step: 'create' };
    expect((await browser.submit(path, fields)).status).toBe(303);
    expect((await browser.get('/account')).text).toContain('org:acme');
    await signedIn('bob@example.com', 'the password of bob');
    const again = await new Browser(network.url).get(path);
    const wrong = await new Browser(network.url).get(`/account/invitation?token=sci_${'A'.repeat(50)}`);
    expect([again.status, again.text]).toEqual([404, wrong.text]);
  });

  test('to an account is listed, accepted and declined by that account alone', async () => {
    const carolKey = await network.principal('user:carol');
    const carol = network.client(carolKey);
    const eve = network.client(await network.principal('user:eve'));
    const { id } = await invite({ principal: 'user:carol', group: 'org:acme', role: 'viewer' });
    expect((await eve.call('listInvitations')).items).toEqual([]);
    await expect(eve.call('acceptInvitation', { params: { id }, body: {} })).rejects.toMatchObject({
      code: 'client.not_found',
    });
    expect((await carol.call('listInvitations')).items.map((each) => each.id)).toEqual([id]);
    expect((await carol.call('declineInvitation', { params: { id } })).state).toBe('declined');
    const second = await invite({ principal: 'user:carol', group: 'org:acme', role: 'viewer' });
    expect((await carol.call('acceptInvitation', { params: { id: second.id }, body: {} })).state).toBe('accepted');
    expect((await carol.call('whoami')).groups).toEqual([{ id: 'org:acme', role: 'viewer' }]);
    await expect(carol.call('leaveOrg', { params: { org: 'acme' } })).resolves.toBeDefined();
    await expect(network.client(annKey).call('leaveOrg', { params: { org: 'acme' } })).rejects.toMatchObject({
      code: 'client.conflict',
    });
  });

  test('of an organisation does not take over a principal that has keys but no account', async () => {
    await network.principal('user:dave');
    const { path } = await invite({ principal: 'user:dave', group: 'org:acme', role: 'viewer' });
    const taken = await new Browser(network.url).submit(path, {
      email: 'eve@example.com',
      password: 'the password of eve',
      step: 'create',
    });
    expect(taken.status).toBe(403);
    // The network admin's does: that is how such a principal gets its account, and its keys go on.
    const own = await invite({ principal: 'user:dave' });
    const browser = new Browser(network.url);
    expect(
      (await browser.submit(own.path, { email: 'dave@example.com', password: 'the password of dave', step: 'create' }))
        .status,
    ).toBe(303);
    expect((await browser.get('/account')).text).toContain('user:dave');
  });
});

describe('a device', () => {
  const anyone = () => network.client('');

  test('gets a key of whoever approves its code, once, and none before or after a refusal', async () => {
    const device = await anyone().call('startDevice', { body: { clientName: 'laptop' } });
    const poll = () => anyone().call('pollDevice', { body: { deviceCode: device.deviceCode } });
    await expect(poll()).rejects.toMatchObject({ code: 'client.authorization_pending' });
    const browser = await signedIn();
    const asked = await browser.submit(device.path, {
      code: device.userCode.toLowerCase().replace('-', ' '),
      step: 'ask',
    });
    expect(asked.text).toContain('laptop');
    await expect(poll()).rejects.toMatchObject({ code: 'client.authorization_pending' });
    await browser.post(device.path, { ...hiddenFields(asked.text), step: 'approve' });
    const issued = await poll();
    expect(issued.principal).toBe('user:ann');
    expect(await network.client(issued.key).call('whoami')).toMatchObject({
      principal: 'user:ann',
      credential: issued.id,
    });
    await expect(poll()).rejects.toMatchObject({ code: 'client.not_found' });

    const second = await anyone().call('startDevice', { body: { clientName: 'thief' } });
    await browser.submit(second.path, { code: second.userCode, step: 'refuse' });
    await expect(anyone().call('pollDevice', { body: { deviceCode: second.deviceCode } })).rejects.toMatchObject({
      code: 'policy.forbidden',
    });
  });

  test('codes cannot be guessed: ten wrong ones an account', async () => {
    const browser = await signedIn();
    const fields = hiddenFields((await browser.get('/account/device')).text);
    const statuses: number[] = [];
    for (let index = 0; index < 12; index += 1)
      statuses.push(
        (
          await browser.post('/account/device', {
            ...fields,
            code: `BBBB-BBB${'BCDFGHJKLMNP'[index] ?? ''}`,
            step: 'approve',
          })
        ).status,
      );
    expect(statuses).toEqual([...Array<number>(10).fill(404), 429, 429]);
  });
});

describe('a password that is changed, an account that is disabled', () => {
  test('ends its sessions and keys', async () => {
    const bob = await signedIn('bob@example.com', 'the password of bob');
    const ann = network.client(annKey);
    const { key } = await ann.call('createKey', { body: { principal: 'user:bob' } });
    const own = network.client(key);
    await expect(
      own.call('setPassword', {
        params: { id: 'bob' },
        body: { current: 'wrong one it is', next: 'another password' },
      }),
    ).rejects.toMatchObject({ code: 'policy.forbidden' });
    const body = { current: 'the password of bob', next: 'another password of bob' };
    expect((await own.call('setPassword', { params: { id: 'bob' }, body })).sessionsEnded).toBeGreaterThan(0);
    expect((await bob.get('/account')).location).toBe('/account/sign-in');
    await signedIn('bob@example.com', 'another password of bob');
    // A token of it too, with the secret that it had before it was rotated.
    const manifest = { apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name: 'lab' }, spec: {} };
    const params = { name: 'lab' };
    await ann.call('applySubcloud', { params, body: { manifest: JSON.stringify(manifest) } });
    const { id, token } = await ann.call('createToken', { params, body: { principal: 'user:bob' } });
    const rotated = await ann.call('rotateToken', { params: { ...params, id }, body: { overlapS: 3_600 } });
    const opens = async (secret: string): Promise<number> =>
      (await fetch(`${network.url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } })).status;
    const both = (): Promise<number[]> => Promise.all([token, rotated.token].map(opens));
    expect(await both()).toEqual([200, 200]);
    expect(await ann.call('disableAccount', { params: { id: 'bob' } })).toMatchObject({ keysRevoked: 1 });
    expect(await both()).toEqual([401, 401]);
    await expect(own.call('whoami')).rejects.toMatchObject({ code: 'client.unauthenticated' });
    expect((await new Browser(network.url).signIn('bob@example.com', 'another password of bob')).status).toBe(403);
  });
});

test('keys and principals that the admin made before there were accounts go on, also over a restart', async () => {
  const key = await network.principal('user:old');
  await network.restartControl();
  expect(await network.client(key).call('whoami')).toMatchObject({ principal: 'user:old', groups: [] });
  expect(await network.client(network.apiKey).call('whoami')).toMatchObject({ principal: 'user:admin', admin: false });
});
