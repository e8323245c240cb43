/**
 * What a browser sends and is sent: cookies and forms. A form counts only where it comes from a page of this origin and
 * carries the token that goes with the browser's own cookie and session, so no other site can send one in its name.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { AppError } from '@subcloud/contract/errors';
import { newSecret, secretKind } from '@subcloud/kit/secrets';
import type { Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';

export const ADDRESS_HEADER = 'x-subcloud-client-address';
export const SCHEME_HEADER = 'x-subcloud-client-scheme';
const COOKIES = { session: 'subcloud-session', form: 'subcloud-form', oidc: 'subcloud-oidc' } as const;
type CookieName = keyof typeof COOKIES;

/** Of this process: a form that is older than a restart is asked for again. */
const formKey = randomBytes(32);

/** Where requests reach control through the gateway, it says from where they came; nobody else can. */
export function clientAddressOf(c: Context): string {
  return c.req.header(ADDRESS_HEADER) ?? '';
}

/** Plain http is for this machine alone: whatever comes from elsewhere came by TLS, ours or that of a proxy before us. */
function isSecure(c: Context): boolean {
  if (c.req.header(SCHEME_HEADER) === 'https') return true;
  const address = clientAddressOf(c);
  return !(address === '' || address === '::1' || address.startsWith('127.'));
}

/** `__Host-`: the browser takes it from this very host, over TLS, for all paths, and from no neighbour. */
function cookieName(c: Context, name: CookieName): string {
  return isSecure(c) ? `__Host-${COOKIES[name]}` : COOKIES[name];
}

export function readCookie(c: Context, name: CookieName): string | undefined {
  return getCookie(c, cookieName(c, name));
}

export function writeCookie(c: Context, name: CookieName, value: string, maxAgeS: number): void {
  setCookie(c, cookieName(c, name), value, {
    path: '/',
    httpOnly: true,
    sameSite: 'Lax',
    secure: isSecure(c),
    maxAge: maxAgeS,
  });
}

export function clearCookie(c: Context, name: CookieName): void {
  deleteCookie(c, cookieName(c, name), { path: '/', httpOnly: true, sameSite: 'Lax', secure: isSecure(c) });
}

/** The token that a form of this page carries; makes the browser's cookie where it has none. */
export function formToken(c: Context, sessionHash: string | undefined): string {
  let cookie = readCookie(c, 'form');
  if (cookie === undefined || secretKind(cookie) !== 'session') {
    cookie = newSecret('session');
    writeCookie(c, 'form', cookie, 86_400);
  }
  return tokenFor(cookie, sessionHash);
}

function tokenFor(cookie: string, sessionHash: string | undefined): string {
  return createHmac('sha256', formKey)
    .update(`${cookie}\n${sessionHash ?? ''}`)
    .digest('hex');
}

/** The fields of a form that came from our own page. Throws client.invalid_request for any other. */
export async function readForm(c: Context, sessionHash: string | undefined): Promise<ReadonlyMap<string, string>> {
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/x-www-form-urlencoded(?:\s*;\s*charset=utf-8)?$/i.test(type))
    throw new AppError('client.unsupported_media_type', { message: 'Send a form.' });
  requireSameOrigin(c);
  const fields = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(await c.req.text())) {
    if (fields.has(key) || value.length > 2_048) throw notOurs();
    fields.set(key, value);
  }
  const cookie = readCookie(c, 'form') ?? '';
  const wanted = Buffer.from(tokenFor(cookie, sessionHash));
  const given = Buffer.from(fields.get('form') ?? '');
  if (cookie === '' || given.length !== wanted.length || !timingSafeEqual(given, wanted)) throw notOurs();
  return fields;
}

function requireSameOrigin(c: Context): void {
  const site = c.req.header('sec-fetch-site');
  if (site !== undefined && site !== 'same-origin') throw notOurs();
  const origin = c.req.header('origin');
  if (origin !== undefined && URL.parse(origin)?.host !== c.req.header('host')) throw notOurs();
}

function notOurs(): AppError {
  return new AppError('client.invalid_request', {
    message: 'This form did not come from the page that it belongs to, or the page is too old: open it again.',
  });
}

/** Where a page may send one next: a page of ours, and nothing else. */
export function ownPath(text: string | undefined): string {
  return text !== undefined && /^\/account(?:\/[a-z]+)*(?:\?[A-Za-z0-9_=&.-]*)?$/.test(text) ? text : '/account';
}
