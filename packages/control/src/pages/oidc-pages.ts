import { AppError } from '@subcloud/contract/errors';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Hono } from 'hono';
import { OIDC_CALLBACK_PATH, type OidcPerson } from '../identity/oidc.ts';
import { clearCookie, ownPath, readCookie, writeCookie } from './browser.ts';
import type { PageTools } from './pages.ts';
import { asAccount, signIn } from './sign-in-pages.ts';

const PENDING_S = 600;

export function oidcPages(app: Hono, tools: PageTools): void {
  const { oidc } = tools.identity;
  if (oidc === undefined) return;

  app.get('/account/oidc', async (c) => {
    const { url, cookie } = await oidc.begin(ownPath(c.req.query('next')));
    writeCookie(c, 'oidc', cookie, PENDING_S);
    return c.redirect(url, 303);
  });

  app.get(OIDC_CALLBACK_PATH, async (c) => {
    const { person, next } = await oidc.finish(readCookie(c, 'oidc'), new URL(c.req.url).search);
    clearCookie(c, 'oidc');
    await signIn(c, tools, await accountOf(tools, person), 'oidc');
    return c.redirect(next, 303);
  });
}

/**
 * Whose account it is: that which this person signed in to before, else that of the same e-mail address, where both the
 * provider and the network admin vouch for it. An address that an organisation's admin invited proves nothing: whoever
 * accepted could have been anybody.
 */
async function accountOf({ db, writing, clock }: PageTools, person: OidcPerson): Promise<PrincipalId> {
  const known = await db
    .selectFrom('oidc_identities')
    .select('principal')
    .where('issuer', '=', person.issuer)
    .where('subject', '=', person.subject)
    .executeTakeFirst();
  if (known !== undefined) return known.principal as PrincipalId;
  const row =
    person.verifiedEmail === null
      ? undefined
      : await db
          .selectFrom('accounts')
          .select('principal')
          .where('email', '=', person.verifiedEmail)
          .where('email_verified', '=', true)
          .where('disabled_at', 'is', null)
          .executeTakeFirst();
  if (row === undefined)
    throw new AppError('client.sign_in_failed', {
      message: 'No account goes with this sign-in: ask the network admin to invite your e-mail address.',
    });
  const principal = row.principal as PrincipalId;
  await writing(asAccount(principal), 'account.linkOidc').change(async (tx) => {
    const { issuer, subject } = person;
    await tx
      .insertInto('oidc_identities')
      .values({ issuer, subject, principal, created_at: clock.nowMs() })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    return {
      audit: { subject: `account:${principal}`, before: null, after: { issuer, subject } },
      result: undefined,
      touched: [],
      apply: () => undefined,
    };
  });
  return principal;
}
