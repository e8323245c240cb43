/** Sign-in by a real OpenID provider on loopback, end to end. */
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Browser, type Page } from './browser.ts';
import { type OpenIdProvider, startOpenIdProvider } from './openid-provider.ts';

/** What browsers would reach the network by; the test goes there itself. */
const PUBLIC_URL = 'https://network.example';
const PASSWORD = 'a long enough password';
let provider: OpenIdProvider;
let network: TestNetwork;

beforeAll(async () => {
  const client = { id: 'subcloud', secret: 'a secret of the test', redirectUri: `${PUBLIC_URL}/account/oidc/callback` };
  provider = await startOpenIdProvider(client);
  network = await startTestNetwork({
    control: {
      publicUrl: PUBLIC_URL,
      oidcIssuer: provider.issuer,
      oidcClientId: client.id,
      oidcClientSecret: client.secret,
      oidcName: 'Example ID',
    },
  });
  await network.admin.call('createFirstAccount', { body: { email: 'ann@example.com', password: PASSWORD } });
  provider.people.set('ann-7', { email: 'Ann@Example.com', email_verified: true, name: 'Ann' });
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

/** The way of a browser to the provider and back, up to the callback's address. */
async function callbackOf(browser: Browser, subject: string): Promise<string> {
  const begun = await browser.get('/account/oidc?next=/account/device');
  expect(begun.status).toBe(303);
  const back = await provider.signIn(begun.location ?? '', subject);
  expect(back).toContain(`${PUBLIC_URL}/account/oidc/callback?`);
  const { pathname, search } = new URL(back);
  return `${pathname}${search}`;
}
async function signIn(subject: string): Promise<{ readonly browser: Browser; readonly page: Page }> {
  const browser = new Browser(network.url);
  return { browser, page: await browser.get(await callbackOf(browser, subject)) };
}

test('whoever the network admin gave an account for this address signs in, and is known again by who he is there', async () => {
  expect((await new Browser(network.url).get('/account/sign-in')).text).toContain('Sign in with Example ID');
  const { browser, page } = await signIn('ann-7');
  expect([page.status, page.location]).toEqual([303, '/account/device']);
  expect((await browser.get('/account')).text).toContain('user:ann');
  provider.people.set('ann-7', { email: 'ann.new@example.com', email_verified: false, name: 'Ann' });
  expect((await signIn('ann-7')).page.status).toBe(303);
});

test('nobody else does: no account, an address that the provider does not vouch for, or one that only an organisation invited', async () => {
  const invited = await network.admin.call('createOrg', { body: { id: 'acme' } }).then(() =>
    network.admin.call('createInvitation', {
      body: { group: 'org:acme', role: 'member', email: 'boss@example.com' },
    }),
  );
  const thief = new Browser(network.url);
  await thief.submit(invited.path, { id: 'thief', password: PASSWORD, step: 'create' });
  expect((await thief.get('/account')).text).toContain('user:thief');
  provider.people.set('boss-1', { email: 'boss@example.com', email_verified: true, name: 'Boss' });
  provider.people.set('eve-1', { email: 'eve@example.com', email_verified: true, name: 'Eve' });
  provider.people.set('eve-2', { email: 'ann@example.com', email_verified: false, name: 'Eve' });
  for (const subject of ['boss-1', 'eve-1', 'eve-2']) {
    const { browser, page } = await signIn(subject);
    expect(page.status).toBe(401);
    expect(browser.cookies.has('subcloud-session')).toBe(false);
  }
});

test('a callback counts once, for the browser that began, with the state and code that belong together', async () => {
  const browser = new Browser(network.url);
  const callback = await callbackOf(browser, 'ann-7');
  // Sign-in CSRF: a victim is sent the attacker's callback.
  const victim = await new Browser(network.url).get(callback);
  const begunElsewhere = new Browser(network.url);
  await begunElsewhere.get('/account/oidc');
  const swapped = await begunElsewhere.get(callback);
  const altered = new Browser(network.url);
  const alteredCallback = (await callbackOf(altered, 'ann-7')).replace(/state=[^&]{4}/, 'state=AAAA');
  const wrongState = await altered.get(alteredCallback);
  const failedOnce = await altered.get(alteredCallback);
  expect([victim, swapped, wrongState, failedOnce].map(({ status }) => status)).toEqual([401, 401, 401, 401]);
  const cookie = browser.cookies.get('subcloud-oidc') ?? '';
  expect((await browser.get(callback)).status).toBe(303);
  browser.cookies.set('subcloud-oidc', cookie);
  expect((await browser.get(callback)).status).toBe(401);
});

test('a provider that is away is said to be, and comes back without a restart', async () => {
  const away = await startTestNetwork({
    control: {
      publicUrl: PUBLIC_URL,
      oidcIssuer: 'http://127.0.0.1:1',
      oidcClientId: 'a',
      oidcClientSecret: 'b',
    },
  });
  try {
    const page = await new Browser(away.url).get('/account/oidc');
    expect([page.status, page.headers['retry-after']]).toEqual([503, '10']);
  } finally {
    await away[Symbol.asyncDispose]();
  }
});
