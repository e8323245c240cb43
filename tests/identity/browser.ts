/** A browser as far as pages without scripts need one: cookies, forms, redirects one at a time. */
import { request } from 'undici';

export interface Page {
  readonly status: number;
  readonly text: string;
  readonly location: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** As they were sent. */
  readonly setCookies: readonly string[];
}

export class Browser {
  readonly cookies = new Map<string, string>();
  readonly origin: string;

  constructor(origin: string) {
    this.origin = origin;
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Page> {
    return this.#send('GET', path, undefined, headers);
  }

  /** Sends a form as it is. */
  post(
    path: string,
    fields: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Page> {
    const all = {
      'content-type': 'application/x-www-form-urlencoded',
      origin: this.origin,
      'sec-fetch-site': 'same-origin',
      ...headers,
    };
    return this.#send('POST', path, new URLSearchParams({ ...fields }).toString(), all);
  }

  /** Opens the page and sends its form with these fields filled in. */
  async submit(path: string, fields: Readonly<Record<string, string>>, to = path.split('?')[0] ?? path): Promise<Page> {
    const page = await this.get(path);
    return this.post(to, { ...hiddenFields(page.text), ...fields });
  }

  signIn(email: string, password: string): Promise<Page> {
    return this.submit('/account/sign-in', { email, password });
  }

  async #send(
    method: 'GET' | 'POST',
    path: string,
    body: string | undefined,
    headers: Readonly<Record<string, string>>,
  ): Promise<Page> {
    const url = new URL(path, this.origin);
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await request(url, {
      method,
      body: body ?? null,
      headers: { ...(cookie === '' ? {} : { cookie }), ...headers },
    });
    const text = await answer.body.text();
    const sent = answer.headers['set-cookie'] ?? [];
    const setCookies = typeof sent === 'string' ? [sent] : sent;
    for (const each of setCookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(each) ?? [];
      if (/max-age=0/i.test(each)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    const location = answer.headers.location;
    return {
      status: answer.statusCode,
      text,
      location: typeof location === 'string' ? location : undefined,
      headers: answer.headers,
      setCookies,
    };
  }
}

export function hiddenFields(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)">/g))
    found[name] = value.replaceAll('&amp;', '&');
  return found;
}
