import { AppError } from '@subcloud/contract/errors';
import { passwordText } from '@subcloud/contract/routes/accounts';
import { bareId, email as emailText } from '@subcloud/contract/routes/people';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Context, Hono } from 'hono';
import type * as z from 'zod';
import { INVITATION_PATH, type InvitationRow, acceptance, invitationByToken } from '../api/handlers/invitations.ts';
import { withdrawn } from '../api/context.ts';
import { idFrom } from '../api/handlers/accounts.ts';
import { insertAccount } from '../identity/accounts.ts';
import { hashPassword } from '../identity/passwords.ts';
import type { World } from '../world/world.ts';
import { clientAddressOf, formToken, readForm } from './browser.ts';
import { PAGE_HEADERS, html, pageText } from './html.ts';
import type { PageTools } from './pages.ts';
import { asAccount, hidden, signIn } from './sign-in-pages.ts';

export function invitationPages(app: Hono, tools: PageTools): void {
  const { db, loop, clock, identity, pass } = tools;

  /** Throws client.not_found, the same for a wrong, a used and an expired one. */
  const opened = async (token: string | undefined, c: Context): Promise<InvitationRow> => {
    const waitS = identity.deviceStarts.take(clientAddressOf(c));
    if (waitS !== undefined) throw new AppError('client.too_many_attempts', { retryAfterS: waitS });
    const row = token === undefined ? undefined : await invitationByToken(db, token, clock.nowMs());
    if (row === undefined)
      throw new AppError('client.not_found', { message: 'This invitation is not valid, or not any more.' });
    identity.deviceStarts.forgive(clientAddressOf(c));
    return row;
  };

  app.get(INVITATION_PATH, async (c) => {
    const token = c.req.query('token') ?? '';
    const row = await opened(token, c);
    const session = await tools.session(c);
    const form = html`${hidden(formToken(c, session?.hash))}<input type="hidden" name="token" value="${token}">`;
    const into = html`<p>${row.created_by} invites you into <strong>${row.group_id ?? 'this network'}</strong>${row.role === null ? '' : ` as ${row.role}`}.</p>`;
    if (session !== undefined) {
      const body = html`${into}<form method="post" action="${INVITATION_PATH}">${form}<button name="step" value="accept">Accept as ${session.principal}</button></form>`;
      return c.body(pageText('Invitation', body), 200, PAGE_HEADERS);
    }
    const here = encodeURIComponent(`${INVITATION_PATH}?token=${token}`);
    const body = html`${into}<p>You have an account here? <a href="/account/sign-in?next=${here}">Sign in</a> and accept.</p>
<h2>Or make an account</h2><form method="post" action="${INVITATION_PATH}">${form}
${accountFields(loop.world, row)}
<label for="password">Password, at least 12 characters</label><input id="password" name="password" type="password" autocomplete="new-password" required minlength="12" maxlength="256">
<button name="step" value="create">Make the account and accept</button></form>`;
    return c.body(pageText('Invitation', body), 200, PAGE_HEADERS);
  });

  app.post(INVITATION_PATH, async (c) => {
    const session = await tools.session(c);
    const form = await readForm(c, session?.hash);
    const token = form.get('token') ?? '';
    const row = await opened(token, c);
    if (form.get('step') === 'accept') {
      if (session === undefined) throw new AppError('client.unauthenticated');
      const actor = { ...asAccount(session.principal), action: 'invitation.answer' } as const;
      const { tableVersion } = await tools.writing(actor, 'invitation.answer').change(async (tx) => {
        const open = await invitationByToken(tx, token, clock.nowMs());
        if (open === undefined) throw new AppError('client.not_found');
        return acceptance(tools, tx, actor, open);
      });
      // As by the route for it; where some gateway has not confirmed, the page has nobody to tell.
      await withdrawn(tools, tableVersion);
      return c.redirect('/account', 303);
    }
    const wanted = accountOf(loop.world, row, form);
    const passwordHash = await hashPassword(field(passwordText, form, 'password'));
    const actor = { ...asAccount(wanted.principal), action: 'invitation.answer' } as const;
    const { tableVersion } = await tools.writing(actor, 'invitation.answer').change(async (tx) => {
      const nowMs = clock.nowMs();
      const open = await invitationByToken(tx, token, nowMs);
      if (open === undefined) throw new AppError('client.not_found');
      const made = await insertAccount(tx, {
        ...wanted,
        displayName: null,
        passwordHash,
        networkRole: null,
        by: open.created_by,
        nowMs,
      });
      const accepted = await acceptance({ loop, clock, pass }, tx, actor, open);
      return {
        ...accepted,
        apply: (world) => {
          made(world);
          accepted.apply(world);
        },
      };
    });
    await withdrawn(tools, tableVersion);
    await signIn(c, tools, wanted.principal, 'invitation');
    return c.redirect('/account', 303);
  });
}

/**
 * Whose account an invitation makes. A principal that the admin made before gets one only by an invitation of the network
 * admin: else whoever may invite could take its keys' rights. An e-mail address that the network admin gave is verified.
 */
function accountOf(world: World, row: InvitationRow, form: ReadonlyMap<string, string>) {
  const byNetwork = row.group_id === null;
  if (row.principal !== null) {
    if (!byNetwork || world.people.accounts.has(row.principal as PrincipalId))
      throw new AppError('policy.forbidden', { message: 'Sign in to accept this invitation.' });
    const principal = row.principal as PrincipalId;
    return { principal, existing: true, email: field(emailText, form, 'email'), emailVerified: false };
  }
  const principal: PrincipalId = `user:${field(bareId, form, 'id')}`;
  return { principal, existing: false, email: row.email, emailVerified: byNetwork };
}

function accountFields(world: World, row: InvitationRow) {
  if (row.principal !== null)
    return html`<p>For <strong>${row.principal}</strong>.</p><label for="email">E-mail address, to sign in with</label><input id="email" name="email" type="email" autocomplete="username" required maxlength="254">`;
  const id = idFrom(row.email ?? '');
  const free = world.people.accounts.has(`user:${id}`) ? '' : id;
  return html`<p>To sign in with <strong>${row.email ?? ''}</strong>.</p><label for="id">Your id in this network</label><input id="id" name="id" autocomplete="off" required maxlength="63" value="${free}">`;
}

/** Throws client.invalid_request. */
function field<Schema extends z.ZodType>(
  schema: Schema,
  form: ReadonlyMap<string, string>,
  name: string,
): z.infer<Schema> {
  const parsed = schema.safeParse(form.get(name) ?? '');
  if (parsed.success) return parsed.data;
  throw new AppError('client.invalid_request', {
    message: `${name}: ${parsed.error.issues[0]?.message ?? 'not valid'}.`,
    param: name,
  });
}
