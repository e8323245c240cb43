import { AppError } from '@subcloud/contract/errors';
import { DEVICE_PATH } from '@subcloud/contract/routes/accounts';
import type { Hono } from 'hono';
import type { DeviceCode } from '../identity/device-codes.ts';
import { formToken, readForm } from './browser.ts';
import { PAGE_HEADERS, html, pageText } from './html.ts';
import type { PageTools } from './pages.ts';
import { hidden, toSignIn } from './sign-in-pages.ts';

export function devicePages(app: Hono, { identity, session }: PageTools): void {
  /** Counted by account, so that nobody types his way through the codes. Throws client.too_many_attempts. */
  const typed = (principal: string, text: string): DeviceCode => {
    const waitS = identity.userCodes.take(principal);
    if (waitS !== undefined) throw new AppError('client.too_many_attempts', { retryAfterS: waitS });
    const code = identity.devices.byUserCode(text);
    if (code === undefined || code.answer !== undefined)
      throw new AppError('client.not_found', {
        message: 'No device waits with this code. It may have ended: ask for another.',
      });
    identity.userCodes.forgive(principal);
    return code;
  };

  app.get(DEVICE_PATH, async (c) => {
    const signedIn = await session(c);
    if (signedIn === undefined) return toSignIn(c);
    const form = hidden(formToken(c, signedIn.hash));
    const body = html`<p>Type the code that the device shows. Type only one that you have asked for yourself.</p>
<form method="post" action="${DEVICE_PATH}">${form}
<label for="code">Code</label><input id="code" name="code" autocomplete="off" required maxlength="16" value="${c.req.query('code') ?? ''}">
<button name="step" value="ask">Continue</button></form>`;
    return c.body(pageText('Approve a device', body), 200, PAGE_HEADERS);
  });

  app.post(DEVICE_PATH, async (c) => {
    const signedIn = await session(c);
    if (signedIn === undefined) return toSignIn(c);
    const form = await readForm(c, signedIn.hash);
    const code = typed(signedIn.principal, form.get('code') ?? '');
    const step = form.get('step');
    if (step === 'approve' || step === 'refuse') {
      // The key that it brings is made, and audited, when the device asks for it.
      code.answer = step === 'approve' ? { approvedBy: signedIn.principal } : 'refused';
      const done = step === 'approve' ? 'The device is signed in. You may close this page.' : 'The device is refused.';
      return c.body(pageText('Approve a device', html`<p>${done}</p>`), 200, PAGE_HEADERS);
    }
    const body = html`<p>“${code.clientName}” wants to act as <strong>${signedIn.principal}</strong>, with all that you may do.</p>
<p class="code">${code.userCode}</p>
<p>Approve it only where this code stands on a device in front of you.</p>
<form method="post" action="${DEVICE_PATH}">${hidden(formToken(c, signedIn.hash))}<input type="hidden" name="code" value="${code.userCode}">
<button name="step" value="approve">Approve</button><button class="plain" name="step" value="refuse">Refuse</button></form>`;
    return c.body(pageText('Approve a device', body), 200, PAGE_HEADERS);
  });
}
