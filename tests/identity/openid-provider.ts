/** A real OpenID provider on loopback, whose people sign in by being named. */
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';
import { request } from 'undici';

export interface Person {
  readonly email: string;
  readonly email_verified: boolean;
  readonly name: string;
}

export interface OpenIdProvider extends AsyncDisposable {
  readonly issuer: string;
  /** By subject; changeable. */
  readonly people: Map<string, Person>;
  /** Goes through the provider's own pages as this person; returns where it sends the browser at the end. */
  signIn(authorizeUrl: string, subject: string): Promise<string>;
}

export async function startOpenIdProvider(client: {
  readonly id: string;
  readonly secret: string;
  readonly redirectUri: string;
}): Promise<OpenIdProvider> {
  let handle: ReturnType<Provider['callback']> | undefined;
  const server = createServer((asked, answer) => void handle?.(asked, answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const issuer = `http://127.0.0.1:${address.port}`;
  const people = new Map<string, Person>();
  const provider = new Provider(issuer, {
    clients: [{ client_id: client.id, client_secret: client.secret, redirect_uris: [client.redirectUri] }],
    claims: { email: ['email', 'email_verified'], profile: ['name'] },
    pkce: { required: () => true },
    cookies: { keys: ['a key of the test'] },
    features: { devInteractions: { enabled: true } },
    findAccount: (_context, subject) => {
      const person = people.get(subject);
      return person === undefined ? undefined : { accountId: subject, claims: () => ({ sub: subject, ...person }) };
    },
  });
  handle = provider.callback();
  return {
    issuer,
    people,
    signIn: (authorizeUrl, subject) => walk(issuer, authorizeUrl, subject),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Follows redirects inside the provider, and answers what it asks: who signs in, and whether they agree. */
async function walk(issuer: string, start: string, subject: string): Promise<string> {
  const cookies = new Map<string, string>();
  let url = new URL(start);
  let form: string | undefined;
  for (let step = 0; step < 16; step += 1) {
    const answer = await request(url, {
      method: form === undefined ? 'GET' : 'POST',
      body: form ?? null,
      headers: {
        cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      },
    });
    const text = await answer.body.text();
    for (const each of [answer.headers['set-cookie'] ?? []].flat()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(each) ?? [];
      cookies.set(name, value);
    }
    const { location } = answer.headers;
    form = undefined;
    if (typeof location === 'string') {
      url = new URL(location, url);
      if (url.origin !== issuer) return url.href;
      continue;
    }
    const prompt = /name="prompt" value="(\w+)"/.exec(text)?.[1];
    const action = /action="([^"]+)"/.exec(text)?.[1];
    if (prompt === undefined || action === undefined)
      throw new Error(`the provider answers ${answer.statusCode}: ${text}`);
    url = new URL(action, url);
    form = new URLSearchParams({ prompt, login: subject, password: 'any' }).toString();
  }
  throw new Error('the provider sends in circles');
}
