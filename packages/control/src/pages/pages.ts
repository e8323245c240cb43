/**
 * The pages below /account: sign in and out, approve a device, accept an invitation. They change things through the same
 * audited loop as the API. Order for each: limits, the session, the form's token, then what was asked.
 */
import { AppError } from '@subcloud/contract/errors';
import { newId } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Actor } from '../access/actor.ts';
import { type WriteLoop, auditedLoop } from '../audit/audited.ts';
import type { ApiContext } from '../api/context.ts';
import { isBannedCaller } from '../world/bans.ts';
import { type Session, findSession } from '../identity/sessions.ts';
import type { Loop } from '../loop.ts';
import type { ControlMetrics } from '../metrics/control-metrics.ts';
import type { Database } from '../store/database.ts';
import { readCookie } from './browser.ts';
import { devicePages } from './device-pages.ts';
import { PAGE_HEADERS, html, pageText } from './html.ts';
import { invitationPages } from './invitation-pages.ts';
import { oidcPages } from './oidc-pages.ts';
import { signInPages } from './sign-in-pages.ts';

export interface PageContext extends Pick<ApiContext, 'identity' | 'clock' | 'pass' | 'leases'> {
  readonly db: Database;
  readonly loop: Loop;
  readonly log: Log;
  readonly metrics: Pick<ControlMetrics, 'called'>;
  /** What was done is known beside the database before anybody is told of it. */
  readonly mirror: { caughtUp(): Promise<void> };
}

export interface PageTools extends PageContext {
  /** The signed-in account, or undefined. */
  readonly session: (c: Context) => Promise<Session | undefined>;
  /** A loop whose changes are audited as `action` by `actor`. */
  readonly writing: (actor: Actor, action: string) => WriteLoop;
}

const MAX_FORM_BYTES = 16_384;

export function accountPages(context: PageContext): Hono {
  const { db, loop, clock, log, mirror } = context;
  const tools: PageTools = {
    ...context,
    session: async (c) => {
      const session = await findSession(db, readCookie(c, 'session'), clock.nowMs());
      return session === undefined || isBannedCaller(loop.world, session.principal) ? undefined : session;
    },
    writing: (actor, action) => {
      const audited = auditedLoop(loop, clock, { requestId: newId('req'), actor, action, reason: null }).loop;
      return {
        world: audited.world,
        change: async (work) => {
          const done = await audited.change(work);
          await mirror.caughtUp();
          return done;
        },
      };
    },
  };
  const app = new Hono();
  // For these paths alone: mounted at the root, a wider one would answer for whatever is registered after it.
  app.use(
    '/account/*',
    bodyLimit({ maxSize: MAX_FORM_BYTES, onError: (c) => sendFault(c, new AppError('client.too_large')) }),
  );
  signInPages(app, tools);
  devicePages(app, tools);
  invitationPages(app, tools);
  oidcPages(app, tools);
  app.onError((error, c) => {
    const fault = AppError.from(error);
    if (fault.status >= 500) log.error({ err: error, path: c.req.path }, 'a page failed');
    return sendFault(c, fault);
  });
  return app;
}

function sendFault(c: Context, fault: AppError): Response {
  if (fault.retryAfterS !== null) c.header('retry-after', String(fault.retryAfterS));
  const text = pageText('That did not work', html`<p><a href="/account">Back</a></p>`, fault.publicMessage);
  return c.body(text, fault.status as 400, PAGE_HEADERS);
}
