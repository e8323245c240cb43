import { AppError } from '@subcloud/contract/errors';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Context, Hono } from 'hono';
import { failedSignIns } from '../audit/failed-sign-ins.ts';
import { findLogin } from '../identity/accounts.ts';
import { isPassword } from '../identity/passwords.ts';
import { SESSION_MAX_MS, endSession, insertSession } from '../identity/sessions.ts';
import { isBannedCaller } from '../world/bans.ts';
import { groupsOf } from '../world/groups.ts';
import { clearCookie, clientAddressOf, formToken, ownPath, readForm, writeCookie } from './browser.ts';
import { PAGE_HEADERS, each, html, pageText } from './html.ts';
import type { PageTools } from './pages.ts';

const WRONG = 'The e-mail address or the password is not right.';

export function signInPages(app: Hono, tools: PageTools): void {
  const { identity, db, loop } = tools;
  const failed = failedSignIns(db, tools.clock);

  app.get('/account', async (c) => {
    const session = await tools.session(c);
    if (session === undefined) return c.redirect('/account/sign-in', 303);
    const groups = groupsOf(loop.world, session.principal);
    const body = html`<p>Signed in as <strong>${session.principal}</strong>.</p>
<ul>${each(groups, (group) => html`<li>${group}</li>`)}</ul>
<p><a href="/account/device">Approve a device</a></p>
<form method="post" action="/account/sign-out">${hidden(formToken(c, session.hash))}<button>Sign out</button></form>`;
    return c.body(pageText('Your account', body), 200, PAGE_HEADERS);
  });

  app.get('/account/sign-in', async (c) => {
    const next = ownPath(c.req.query('next'));
    if ((await tools.session(c)) !== undefined) return c.redirect(next, 303);
    return c.body(signInPage(c, tools, next), 200, PAGE_HEADERS);
  });

  app.post('/account/sign-in', async (c) => {
    const form = await readForm(c, undefined);
    const next = ownPath(form.get('next'));
    const email = (form.get('email') ?? '').trim().toLowerCase().slice(0, 254);
    const address = clientAddressOf(c);
    const waitS = identity.signIns.take(email, address);
    if (waitS !== undefined) {
      tools.metrics.called('account.signIn', 429);
      await failed({ principal: (await findLogin(db, email))?.principal, address, code: 'client.too_many_attempts' });
      c.header('retry-after', String(waitS));
      const fault = new AppError('client.too_many_attempts').publicMessage;
      return c.body(signInPage(c, tools, next, `${fault} Try again later.`), 429, PAGE_HEADERS);
    }
    const login = await findLogin(db, email);
    // As much work for an address that has no account, and the same bytes.
    const right = await isPassword(form.get('password') ?? '', login?.passwordHash ?? null);
    if (login === undefined || !right) {
      tools.metrics.called('account.signIn', 403);
      await failed({ principal: login?.principal, address, code: 'client.unauthenticated' });
      return c.body(signInPage(c, tools, next, WRONG), 403, PAGE_HEADERS);
    }
    identity.signIns.forgive(email, address);
    await signIn(c, tools, login.principal, 'password');
    tools.metrics.called('account.signIn', 303);
    return c.redirect(next, 303);
  });

  app.post('/account/sign-out', async (c) => {
    const session = await tools.session(c);
    await readForm(c, session?.hash);
    if (session !== undefined)
      await tools.writing(asAccount(session.principal), 'account.signOut').change(async (tx) => {
        await endSession(tx, session.hash);
        return {
          audit: { subject: `account:${session.principal}`, before: { session: true }, after: { session: false } },
          result: undefined,
          touched: [],
          apply: () => undefined,
        };
      });
    clearCookie(c, 'session');
    return c.redirect('/account/sign-in', 303);
  });
}

/** Who is behind a session, for what a page does in its name. */
export function asAccount(principal: PrincipalId) {
  return { kind: 'principal', principal, credential: 'session', action: 'self.read' } as const;
}

/** A new session for the browser, whatever it had before. Throws policy.forbidden where the account was disabled meanwhile. */
export async function signIn(
  c: Context,
  tools: PageTools,
  principal: PrincipalId,
  by: 'password' | 'oidc' | 'invitation',
): Promise<void> {
  const before = await tools.session(c);
  const { result } = await tools.writing(asAccount(principal), 'account.signIn').change(async (tx) => {
    const { world } = tools.loop;
    if (world.people.accounts.get(principal)?.disabled !== false || isBannedCaller(world, principal))
      throw new AppError('policy.forbidden', { message: 'This account does not sign in any more.' });
    if (before !== undefined) await endSession(tx, before.hash);
    return {
      audit: { subject: `account:${principal}`, before: null, after: { session: true, by } },
      result: await insertSession(tx, principal, tools.clock.nowMs()),
      touched: [],
      apply: () => undefined,
    };
  });
  writeCookie(c, 'session', result, SESSION_MAX_MS / 1_000);
}

function signInPage(c: Context, { identity }: PageTools, next: string, fault?: string): string {
  const { oidc } = identity;
  const body = html`<form method="post" action="/account/sign-in">${hidden(formToken(c, undefined))}
<input type="hidden" name="next" value="${next}">
<label for="email">E-mail address</label><input id="email" name="email" type="email" autocomplete="username" required maxlength="254">
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256">
<button>Sign in</button></form>
${oidc === undefined ? undefined : html`<p><a href="/account/oidc?next=${encodeURIComponent(next)}">Sign in with ${oidc.name}</a></p>`}`;
  return pageText('Sign in', body, fault);
}

export function hidden(token: string) {
  return html`<input type="hidden" name="form" value="${token}">`;
}

/** Sends whoever is not signed in to do so first, and back. */
export function toSignIn(c: Context): Response {
  const { pathname, search } = new URL(c.req.url);
  return c.redirect(`/account/sign-in?next=${encodeURIComponent(ownPath(`${pathname}${search}`))}`, 303);
}
